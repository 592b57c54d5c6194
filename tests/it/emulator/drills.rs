//! Small, quick drills for the sample shop.

use super::world::World;

/// A drill in parts; each test changes the part that it is about.
#[derive(Clone)]
pub struct Parts {
    pub objectives: String,
    pub limits: String,
    pub top: String,
    pub targets: String,
    pub steady: String,
    pub fault: String,
    pub recovery: String,
    pub verify: String,
}

const LIMITS: &str = "accounts: [\"123456789012\"], regions: [us-east-1, global], max_targets: 5, \
                      require_tags: { env: staging }, forbid_tags: { redrill: never }";
const TARGETS: &str = "
  web: { resource: ec2.instance, tags: { service: shop, role: web }, where: { state: running }, select: { count: 1 } }
  private: { resource: vpc.subnet, tags: { service: shop, tier: private } }
  orders: { resource: rds.instance, tags: { service: shop, role: orders }, select: { count: 1 } }
  assets: { resource: s3.bucket, tags: { service: shop, role: assets }, select: { count: 1 } }";

impl Parts {
    /// The text.
    pub fn text(&self) -> String {
        let used: String = TARGETS
            .lines()
            .filter(|l| {
                let name = l.trim().split(':').next().unwrap_or_default();
                let steps = format!("{}{}", self.fault, self.recovery);
                !name.is_empty() && steps.contains(&format!("target: {name}"))
            })
            .map(|l| format!("\n{l}"))
            .collect();
        let targets = if self.targets.is_empty() { used } else { self.targets.clone() };
        let list = |name: &str, items: &str| {
            if items.is_empty() { String::new() } else { format!("{name}:\n{items}\n") }
        };
        format!(
            "version: 1\nname: small\ntitle: A small drill\nservice: shop\nsettle: 1s\nobjectives: {{ {} }}\n\
             limits: {{ {} }}\n{}\ntargets:{targets}\n{}{}{}{}",
            self.objectives,
            self.limits,
            self.top,
            list("steady_state", &self.steady),
            list("fault", &self.fault),
            list("recovery", &self.recovery),
            list("verify", &self.verify),
        )
    }

    /// With other objectives.
    pub fn objectives(mut self, text: &str) -> Self {
        text.clone_into(&mut self.objectives);
        self
    }

    /// With another line at the top.
    pub fn top(mut self, text: &str) -> Self {
        self.top = format!("{}\n{text}", self.top);
        self
    }

    /// Verified only while the test's own page says so.
    pub fn gated(mut self, w: &World) -> Self {
        let gate = page("verified", &w.gate.url).replace(", hold: 1s", "");
        self.verify = if self.verify.is_empty() { gate } else { format!("{}\n{gate}", self.verify) };
        self
    }
}

fn page(name: &str, url: &str) -> String {
    format!(
        "  - {{ name: {name}, probe: http, with: {{ url: \"{url}\", status: 200 }}, every: 300ms, hold: 1s }}"
    )
}

/// The shop answers.
pub fn shop(w: &World) -> String {
    page("the shop answers", &format!("{}/health", w.sandbox.health))
}

/// The test's own page answers: nothing that a fault does is seen there.
pub fn blind(w: &World) -> String {
    page("the gate", &w.gate.url)
}

/// The private subnets lose their routes and get them back.
pub fn network(w: &World) -> Parts {
    Parts {
        objectives: "rto: 5m".to_owned(),
        limits: LIMITS.to_owned(),
        top: String::new(),
        targets: String::new(),
        steady: shop(w),
        fault: "  - { action: vpc.detach-route-table, id: detach, target: private }".to_owned(),
        recovery: "  - { action: vpc.attach-route-table, id: attach, target: private }".to_owned(),
        verify: String::new(),
    }
}

/// One web server is lost and replaced.
pub fn server(w: &World) -> Parts {
    Parts {
        top: "allow_irreversible: true".to_owned(),
        fault: "  - { action: ec2.terminate-instances, id: terminate, target: web }".to_owned(),
        recovery: "  - { action: ec2.launch-replacement, id: replace, target: web }".to_owned(),
        ..network(w)
    }
}

/// Both at once.
pub fn both(w: &World) -> Parts {
    Parts {
        fault:
            "  - parallel:\n      - { action: ec2.terminate-instances, id: terminate, target: web }\n      \
                - { action: vpc.detach-route-table, id: detach, target: private }"
                .to_owned(),
        recovery: "  - { action: vpc.attach-route-table, id: attach, target: private }\n  \
                   - { action: ec2.launch-replacement, id: replace, target: web }"
            .to_owned(),
        ..server(w)
    }
}

/// The database is restored beside the original and removed at the end.
pub fn database(w: &World) -> Parts {
    Parts {
        fault: String::new(),
        recovery: "  - { action: rds.restore-to-point-in-time, id: restore, target: orders, with: { to: \"-15m\" } }"
            .to_owned(),
        verify: "  - { name: restored, probe: rds.instance, with: { identifier: \"${steps.restore.identifier}\" }, every: 300ms }"
            .to_owned(),
        ..network(w)
    }
}

/// The catalogue's objects are deleted and come back.
pub fn objects(w: &World) -> Parts {
    Parts {
        fault: "  - { action: s3.delete-objects, id: delete, target: assets, with: { prefix: catalogue/ } }"
            .to_owned(),
        recovery:
            "  - { action: s3.restore-objects, id: restore, target: assets, with: { prefix: catalogue/ } }"
                .to_owned(),
        ..network(w)
    }
}
