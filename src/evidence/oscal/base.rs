//! What all three OSCAL files share: UUIDs, people, properties, the controls in view, files beside.
//! Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::document::{
    BackMatter, Hash, Id, Metadata, Party, Prop, Resource, ResourceLink, ResponsibleParty, Role,
};
use super::model::{
    Actor, Component, ComponentStatus, ControlId, ControlSelection, InventoryItem, Origin, ReviewedControls,
    SubjectId,
};
use super::{Files, NS, OSCAL_VERSION};
use crate::evidence::NAMESPACE;
use crate::evidence::record::{ControlResult, Record};
use crate::evidence::text::line;
use crate::model::World;

/// The contingency plan's control of NIST SP 800-53: whatever else a drill is, it is a test of that.
pub(super) const CONTINGENCY_PLAN_TESTING: &str = "cp-4";

/// A record with what is derived from it for every file.
pub(super) struct Base<'a> {
    pub(super) record: &'a Record,
    files: Files,
    /// The name space of the UUIDs that belong to this run.
    pub(super) root: Uuid,
}

impl<'a> Base<'a> {
    pub(super) fn new(record: &'a Record, files: &Files) -> Self {
        let mut files = files.clone();
        // the record knows these two itself
        files.entry("journal.jsonl".to_owned()).or_insert_with(|| record.integrity.journal_sha256.clone());
        if let Some(hash) = &record.identity.drill_sha256 {
            files.entry("drill.yaml".to_owned()).or_insert_with(|| hash.clone());
        }
        let name = format!("{}\u{1f}{}", record.identity.run, record.integrity.journal_root);
        Self { record, files, root: Uuid::new_v5(&NAMESPACE, name.as_bytes()) }
    }

    /// The UUID of a thing of this run.
    pub(super) fn uuid(&self, kind: &str, name: &str) -> Id {
        Id::new(self.root, &format!("{kind}\u{1f}{name}"))
    }

    /// The UUID of a person, the same in every run.
    pub(super) fn person(name: &str) -> Id {
        Id::new(NAMESPACE, &format!("person\u{1f}{}", line(name)))
    }

    /// The UUID of the service, the same in every run.
    pub(super) fn service(&self) -> Id {
        let s = &self.record.scope;
        let name = format!("service\u{1f}{}\u{1f}{}\u{1f}{}", s.account, s.region, self.service_name());
        Id::new(NAMESPACE, &name)
    }

    /// The UUID of redrill of this version.
    pub(super) fn tool(&self) -> Id {
        let name = format!("tool\u{1f}{}", self.record.identity.tool_version);
        Id::new(NAMESPACE, &name)
    }

    fn service_name(&self) -> &str {
        let i = &self.record.identity;
        if i.service.is_empty() { &i.drill } else { &i.service }
    }

    /// Whether anything that this run shows counts.
    pub(super) fn counts(&self) -> bool {
        self.record.counts()
    }

    /// When the run started, as far as is known.
    pub(super) fn start(&self) -> DateTime<Utc> {
        self.record.identity.started_at.unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// The newest time of the run.
    pub(super) fn last(&self) -> DateTime<Utc> {
        let run = &self.record.run;
        run.finished_at.or(run.last_at).unwrap_or_else(|| self.start())
    }

    /// About a file. `at` is when its content was fixed.
    pub(super) fn metadata(&self, what: &str, at: DateTime<Utc>) -> Metadata {
        let r = self.record;
        let people = self.people();
        let mut roles: Vec<Role> = Vec::new();
        let mut parties: BTreeMap<Id, Party> = BTreeMap::new();
        let mut responsible: Vec<ResponsibleParty> = Vec::new();
        for (role, name, identity) in people {
            let id = token(&role);
            let party = Self::person(&name);
            if !roles.iter().any(|r| r.id == id) {
                roles.push(Role { id: id.clone(), title: markup(&role) });
            }
            let entry = parties.entry(party).or_insert_with(|| Party {
                uuid: party,
                kind: "person",
                name: line(&name),
                props: Vec::new(),
            });
            if let Some(identity) = identity.filter(|_| entry.props.is_empty()) {
                entry.props.push(prop("identity", &identity));
            }
            match responsible.iter_mut().find(|r| r.role_id == id) {
                Some(there) if there.party_uuids.contains(&party) => {}
                Some(there) => there.party_uuids.push(party),
                None => responsible.push(ResponsibleParty { role_id: id, party_uuids: vec![party] }),
            }
        }
        Metadata {
            title: markup(&format!("{what}: {}", r.identity.title)),
            last_modified: at,
            version: line(r.identity.run.as_str()),
            oscal_version: OSCAL_VERSION.to_owned(),
            props: self.identity(),
            roles,
            parties: parties.into_values().collect(),
            responsible_parties: responsible,
            remarks: Some(markup(&self.world_sentence())),
        }
    }

    /// Everybody who is named: role, name, how systems know them.
    fn people(&self) -> Vec<(String, String, Option<String>)> {
        let r = self.record;
        let mut out = Vec::new();
        for name in &r.people.operators {
            out.push(("operator".to_owned(), name.clone(), None));
        }
        for p in &r.people.participants {
            out.push((p.role.clone(), p.name.clone(), p.identity.clone()));
        }
        for a in &r.authority.approvals {
            out.push(("approver".to_owned(), a.name.clone(), None));
        }
        for s in &r.review.sign_offs {
            out.push(("reviewer".to_owned(), s.by.clone(), None));
        }
        for name in r.findings.iter().filter_map(|f| f.owner.as_ref()) {
            out.push(("owner".to_owned(), name.clone(), None));
        }
        out
    }

    /// Which run it was, as properties.
    pub(super) fn identity(&self) -> Vec<Prop> {
        let r = self.record;
        let mut out = vec![
            prop("run", r.identity.run.as_str()),
            prop("drill", &r.identity.drill),
            prop("tool", &format!("{} {}", r.identity.tool, r.identity.tool_version)),
            prop("plan-sha256", &r.identity.plan_sha256),
            prop("journal-root", &r.integrity.journal_root),
            prop("account", &r.scope.account),
            prop("region", &r.scope.region),
            prop("world", &r.scope.world.to_string()),
        ];
        if !self.counts() {
            out.push(prop("every-control", "not-tested"));
        }
        out
    }

    /// Whether this counts, in words.
    pub(super) fn world_sentence(&self) -> String {
        match self.record.scope.world {
            World::Aws if self.counts() => "Ran on AWS.".to_owned(),
            World::Aws => format!(
                "Ran on AWS, endpoint not proven ({}): every control is left not tested, and no finding is stated.",
                self.record.scope.endpoint_doubt.as_deref().unwrap_or_default()
            ),
            world => format!(
                "world: {world}. Nothing here ran on AWS: every control is left not tested, and no finding is stated."
            ),
        }
    }

    /// Controls that an OSCAL catalog has: their ids there, and what the run says of each.
    pub(super) fn catalog_controls(&self) -> Vec<(String, &'a ControlResult)> {
        let controls = self.record.controls.iter();
        controls.filter_map(|c| Some((catalog_id(c)?, c))).collect()
    }

    /// Controls that no OSCAL catalog has, by their ids.
    pub(super) fn other_controls(&self) -> Vec<Prop> {
        let controls = self.record.controls.iter().filter(|c| catalog_id(c).is_none());
        controls
            .map(|c| Prop {
                class: Some(token(&c.framework)),
                remarks: Some(markup(&format!(
                    "{} {}: {}. {}",
                    c.framework_name,
                    c.id,
                    c.outcome.name(),
                    c.why
                ))),
                ..prop("control", &c.id)
            })
            .collect()
    }

    /// The controls in view.
    pub(super) fn reviewed(&self, description: &str) -> ReviewedControls {
        let mut ids: Vec<String> = self.catalog_controls().into_iter().map(|(id, _)| id).collect();
        ids.push(CONTINGENCY_PLAN_TESTING.to_owned());
        ids.sort();
        ids.dedup();
        ReviewedControls {
            description: markup(description),
            props: Vec::new(),
            control_selections: vec![ControlSelection {
                include_controls: ids.into_iter().map(|control_id| ControlId { control_id }).collect(),
            }],
        }
    }

    /// The service that is drilled.
    pub(super) fn components(&self) -> Vec<Component> {
        let r = self.record;
        vec![Component {
            uuid: self.service(),
            kind: "service",
            title: markup(self.service_name()),
            description: markup(&format!(
                "The service {} in account {}, region {}.",
                self.service_name(),
                r.scope.account,
                r.scope.region
            )),
            props: Vec::new(),
            status: ComponentStatus { state: "operational" },
        }]
    }

    /// The targets.
    pub(super) fn inventory(&self) -> Vec<InventoryItem> {
        let drawn = self.record.scope.selections.iter().flat_map(|s| s.drawn.iter().map(move |d| (s, d)));
        drawn
            .map(|(s, d)| {
                let mut props = vec![prop("id", &d.id), prop("selector", &s.name)];
                props.extend(d.arn.as_ref().map(|arn| prop("arn", arn)));
                props.extend(d.zone.as_ref().map(|zone| prop("zone", zone)));
                InventoryItem {
                    uuid: self.uuid("target", &format!("{}\u{1f}{}", s.name, d.id)),
                    description: markup(&format!(
                        "{}, drawn by the selector {}: {} of {} that matched, of {} there were",
                        d.name.as_deref().unwrap_or(&d.id),
                        s.name,
                        s.drawn.len(),
                        s.matched,
                        s.population
                    )),
                    props,
                }
            })
            .collect()
    }

    /// What is looked at, of one kind of subject.
    pub(super) fn subjects(&self) -> Vec<SubjectId> {
        let mut out = vec![SubjectId { subject_uuid: self.service(), kind: "component" }];
        out.extend(
            self.inventory()
                .into_iter()
                .map(|item| SubjectId { subject_uuid: item.uuid, kind: "inventory-item" }),
        );
        out
    }

    /// redrill itself, as who says so.
    pub(super) fn origin(&self) -> Origin {
        Origin { actors: vec![Actor { kind: "tool", actor_uuid: self.tool() }] }
    }

    /// The UUID of a file beside, if it is one of those given.
    pub(super) fn file(&self, name: &str) -> Option<Id> {
        self.files.contains_key(name).then(|| self.uuid("file", name))
    }

    /// The UUID of the contingency plan's resource.
    pub(super) fn contingency_plan(&self) -> Id {
        self.uuid("document", "contingency-plan")
    }

    /// The files beside, and the documents that the drill names.
    pub(super) fn back_matter(&self) -> BackMatter {
        let r = self.record;
        let mut resources = Vec::new();
        let plan = r.authority.plan.as_ref();
        resources.push(match plan {
            Some(document) => {
                self.document(self.contingency_plan(), "The contingency plan under test", document)
            }
            None => Resource {
                uuid: self.contingency_plan(),
                title: "The contingency plan under test".to_owned(),
                description: Some("The drill does not name one.".to_owned()),
                props: Vec::new(),
                rlinks: Vec::new(),
            },
        });
        if let Some(document) = &r.identity.impact_analysis {
            resources.push(self.document(
                self.uuid("document", "impact-analysis"),
                "The business impact analysis",
                document,
            ));
        }
        for (name, sha256) in &self.files {
            resources.push(Resource {
                uuid: self.uuid("file", name),
                title: markup(name),
                description: Some(markup(&format!("{name} of run {}", r.identity.run))),
                props: Vec::new(),
                rlinks: vec![ResourceLink {
                    href: path(name),
                    media_type: Some(media_type(name)),
                    hashes: hashes(Some(sha256)),
                }],
            });
        }
        BackMatter { resources }
    }

    fn document(&self, uuid: Id, what: &str, d: &crate::model::exercise::Document) -> Resource {
        let mut props = Vec::new();
        props.extend(d.version.as_ref().map(|v| prop("version", v)));
        props.extend(d.reference.as_ref().map(|v| prop("reference", v)));
        props.extend(d.sha256.as_ref().map(|v| prop("sha256", v)));
        let rlinks = d.reference.as_deref().filter(|r| is_url(r)).map(|href| ResourceLink {
            href: href.to_owned(),
            media_type: None,
            hashes: hashes(d.sha256.as_ref()),
        });
        Resource {
            uuid,
            title: markup(&d.title),
            description: Some(what.to_owned()),
            props,
            rlinks: rlinks.into_iter().collect(),
        }
    }
}

/// A property of redrill's own.
pub(super) fn prop(name: &str, value: &str) -> Prop {
    Prop { name: name.to_owned(), ns: NS, value: line(value), class: None, remarks: None }
}

/// A line that stays what it is where Markdown is read.
pub(super) fn markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A name as OSCAL takes it (an NCName): `incident commander` is `incident-commander`.
pub(super) fn token(text: &str) -> String {
    let text: String =
        line(text).to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) { text } else { format!("_{text}") }
}

/// The id in NIST's OSCAL catalog of SP 800-53: `CP-4(1)` is `cp-4.1` there.
fn catalog_id(control: &ControlResult) -> Option<String> {
    if !control.framework.contains("800-53") {
        return None;
    }
    let id = control.id.to_lowercase().replace('(', ".").replace(')', "");
    let (family, number) = id.split_once('-')?;
    let fits = family.len() == 2
        && family.chars().all(|c| c.is_ascii_lowercase())
        && number.split('.').all(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()));
    fits.then_some(id)
}

/// Whether this can stand as a link: an absolute web or S3 address, nothing that a URI may not hold.
fn is_url(text: &str) -> bool {
    ["https://", "http://", "s3://"]
        .iter()
        .any(|scheme| text.len() > scheme.len() && text.starts_with(scheme))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~:/?@!$&'()*+,;=#".contains(c))
        && text.matches('#').count() < 2
}

/// A file name as a relative link.
fn path(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let escaped = format!("%{byte:02X}");
            out.push_str(&escaped);
        }
    }
    out
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("json") => "application/json",
        Some("jsonl") => "application/jsonl",
        Some("yaml" | "yml") => "application/yaml",
        Some("md") => "text/markdown",
        Some("html") => "text/html",
        Some("pdf") => "application/pdf",
        Some("xml") => "application/xml",
        Some("csv") => "text/csv",
        _ => "application/octet-stream",
    }
}

fn hashes(sha256: Option<&String>) -> Vec<Hash> {
    let fits = sha256.filter(|h| h.len() == 64 && h.chars().all(|c| c.is_ascii_hexdigit()));
    fits.map(|value| Hash { algorithm: "SHA-256", value: value.to_lowercase() }).into_iter().collect()
}
