//! The machine that runs imgforge: programs, signals, acceleration, readiness.

pub mod accel;
pub mod exec;
pub mod interrupt;
