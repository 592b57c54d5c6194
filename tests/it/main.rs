//! The one integration binary: each further one would link everything again.

mod bench;
mod conformance;
mod shipped;
