//! Gates: probes that must be healthy before a fault is injected. Reads.
//!
//! A gate that cannot be read is closed.

use serde_json::Value;

use super::limits::Rule;
use crate::catalog::action::{Finding, ReadCx, Severity};
use crate::catalog::{self, Reading};
use crate::model::Health;

/// Looks at every gate of a rule; the severity is the caller's: `plan` warns, `run` refuses. `resolve`
/// puts the values of parameters in; a gate whose parameters have none is not looked at.
pub async fn look(
    rule: Rule<'_>,
    cx: ReadCx<'_>,
    severity: Severity,
    resolve: impl Fn(&Value) -> Option<Value>,
) -> Vec<Finding> {
    let mut out = Vec::new();
    for gate in &rule.limits().gates {
        let (Some(probe), Some(params)) = (catalog::probe(&gate.probe), resolve(&gate.with)) else {
            continue;
        };
        let limit = gate.timeout.unwrap_or(probe.spec().timeout).0;
        let reading = tokio::time::timeout(limit, probe.observe(cx, &params)).await;
        let Reading { health, seen, .. } = reading.unwrap_or_else(|_| probe.timed_out(limit));
        let says = match health {
            Health::Healthy => continue,
            Health::Unhealthy => "is closed",
            Health::Unknown => "cannot be read, and counts as closed",
        };
        let text = format!("`{}` {says}: {seen}", gate.label());
        out.push(Finding::new(severity, rule.key("gates"), text));
    }
    out
}
