//! The one integration binary: each further one would link everything again.

mod conformance;
