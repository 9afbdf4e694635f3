//! Where finished layers and artifacts live, and who owns what is unfinished.

pub mod ledger;
