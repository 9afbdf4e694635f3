//! What is in an image: its packages, as an SBOM in CycloneDX and SPDX and as a list, and how two images
//! differ. Pure: the sealing session lists, the publication writes.

pub mod contents;
pub mod cyclonedx;
pub mod diff;
pub mod licence;
pub mod package;
pub mod query;
pub mod spdx;
pub mod version;

pub use contents::Contents;
pub use package::{Kind, Package};
