//! Texts and pages made of plans and journals. Writes nothing itself.

pub mod plan_text;
