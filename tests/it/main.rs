//! The one integration binary: each further one would link everything again.

mod architecture;
mod bench;
mod catalog;
mod cli;
mod conformance;
mod generated;
mod postgres;
mod shipped;
