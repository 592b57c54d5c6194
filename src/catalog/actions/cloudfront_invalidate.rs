//! `cloudfront.invalidate`: makes a distribution forget cached files.
//!
//! Left to others: whether browsers get new content, which an http probe proves. Invariant: one
//! invalidation per distribution and step, found again by its caller reference.

use std::fmt::Write as _;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rds_restore::{over, pause};
use crate::catalog::action::{
    Action, ActionError, ActionSpec, After, Applied, Batch, Finding, Of, OutputSpec, Outputs, Permissions,
    Prepared, Progress, ReadCx, Reversibility, Severity, StageRule, Undone, WriteCx,
};
use crate::catalog::kinds;
use crate::cloud::{CloudResult, ErrorKind, Invalidation, Mutation, Named, Outcome, What, pages_until};
use crate::model::{Dur, Target};

/// `cloudfront.invalidate`.
pub struct CloudfrontInvalidate;

/// Parameters of `cloudfront.invalidate`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Paths, each beginning with `/`; a `*` at the end stands for everything below. Characters that a URL does not
    /// have are encoded; what is encoded already stays as it is.
    #[schemars(length(min = 1))]
    pub paths: Vec<String>,
}

/// What finds the invalidation again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Distribution id.
    pub distribution: String,
    /// CallerReference.
    pub reference: String,
    /// Paths.
    pub paths: Vec<String>,
    /// When the step began (UTC).
    pub began: DateTime<Utc>,
}

/// The most paths of one request without and with a wildcard, and the longest ("Invalidation paths", "Quotas").
const MOST_PATHS: usize = 3_000;
const MOST_WILDCARDS: usize = 15;
const LONGEST_PATH: usize = 4_000;
/// How long to go on asking while too many invalidations are in progress.
const PATIENCE: Dur = Dur::mins(15);

static SPEC: ActionSpec = ActionSpec {
    name: "cloudfront.invalidate",
    summary: "Invalidates cached files of a distribution, so that edges fetch them from the origin again.",
    kind: Some(kinds::CLOUDFRONT_DISTRIBUTION),
    stage: StageRule::Any,
    reversibility: Reversibility::Momentary,
    after: After::None,
    batch: Batch { size: 1, by_zone: false },
    mends: &[],
    outputs: &[OutputSpec::of_made("invalidation_id", "Id of the invalidation.")],
    timeout: Dur::mins(30),
    undo_timeout: Dur::mins(1),
    poll_every: Dur::secs(5),
    permissions: Permissions {
        prepare: &[],
        apply: &["cloudfront:CreateInvalidation"],
        poll: &["cloudfront:ListInvalidations", "cloudfront:GetInvalidation"],
        undo: &[],
    },
    undo_story: "None: an invalidation cannot be cancelled. It passes by itself, as edges fill their caches again.",
    docs: "Asks CloudFront to drop cached files before they expire. The invalidation is InProgress for some minutes \
and then Completed. It cannot be cancelled. The CallerReference is derived from run, step and distribution, so \
that sending the same request again returns the same invalidation instead of making a second one.

`/*` drops everything: on a live distribution that is a load test of the origin, so a drill that asks for it has \
to say `allow_irreversible: true`.

CloudFront refuses the whole request where a path has characters outside ASCII or that RFC 1738 calls unsafe, such \
as a blank. The step encodes these, and no others: `/summer sale/*` is sent as `/summer%20sale/*`. A path that is \
encoded already is sent as it is.

CloudFront takes 3,000 single files, or 15 paths with a wildcard, in progress per distribution. Above that it \
answers TooManyInvalidationsInProgress; the step then waits and asks again for up to 15 minutes.

Completed says nothing about browsers and other caches in between. Prove it with an `http` probe on the \
distribution's address: the body, or the headers `age` and `x-cache`.

Relied on: \"Invalidate files to remove content\", \"What you need to know when invalidating files\", \"Concurrent invalidation request maximum\" (Developer Guide) \
and \"InvalidationBatch\" (API reference).",
};

/// Whether a path may stand for the whole cache. CloudFront documents `*` only as the last character; what several of
/// them, or several slashes before it, name is not said anywhere, so they count as everything.
fn is_everything(path: &str) -> bool {
    path.strip_suffix('*').is_some_and(|rest| rest.trim_end_matches('*').chars().all(|c| c == '/'))
}

/// A path as CloudFront takes it: what is outside ASCII or unsafe by RFC 1738 is encoded, nothing else. (Encoding more
/// would name another file in the cache.)
fn encoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(path.len());
    for (n, byte) in bytes.iter().enumerate() {
        let is_escape = || bytes.get(n + 1..n + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
        let is_plain = byte.is_ascii_graphic() && !b"\"<>#%{}|\\^~[]`".contains(byte);
        if is_plain || (*byte == b'%' && is_escape()) {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn is_wild(path: &str) -> bool {
    path.ends_with('*')
}

/// The invalidation that this step asked for, if CloudFront has it.
async fn find(cx: ReadCx<'_>, undo: &Undo) -> CloudResult<Option<Invalidation>> {
    let id = undo.distribution.as_str();
    if let Some(own) = answered(cx, undo) {
        return cx.reads.cloudfront.invalidation(id, &own).await;
    }
    // Clocks differ, and the listing has no caller references: read each recent one. It begins with the newest
    // (API reference, "ListInvalidations"), and a busy distribution has thousands of older ones.
    let oldest = undo.began - TimeDelta::minutes(15);
    let is_old = |i: &Invalidation| i.created_at.is_some_and(|at| at < oldest);
    let read = |page| cx.reads.cloudfront.invalidations(id, page);
    let listed = pages_until(read, |page: &[Invalidation]| page.iter().any(is_old)).await?;
    for listed in listed.iter().filter(|i| !is_old(i)) {
        if let Some(found) = cx.reads.cloudfront.invalidation(id, &listed.id).await?
            && found.caller_reference == undo.reference
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The id that CloudFront answered to this step's request, where an answer came.
fn answered(cx: ReadCx<'_>, undo: &Undo) -> Option<String> {
    let is_own = |params: &Value| {
        let has = |key: &str, value: &str| params.get(key).and_then(Value::as_str) == Some(value);
        has("distribution", &undo.distribution) && has("caller_reference", &undo.reference)
    };
    let calls = cx.calls.sent().into_iter().rev();
    calls.filter(|c| c.operation == "cloudfront:CreateInvalidation" && is_own(&c.params)).find_map(
        |c| match c.outcome {
            Some(Outcome::Created { id }) => Some(id),
            _ => None,
        },
    )
}

fn applied(id: String) -> Applied {
    Applied { outputs: Outputs::from([("invalidation_id".to_owned(), id)]), notes: Vec::new() }
}

async fn apply_one(cx: WriteCx<'_>, undo: &Undo) -> Result<Applied, ActionError> {
    let since = cx.read.clock.now();
    let mut turn = 0;
    loop {
        let mutation = Mutation::CreateInvalidation {
            distribution: undo.distribution.clone(),
            caller_reference: undo.reference.clone(),
            paths: undo.paths.iter().map(|path| encoded(path)).collect(),
        };
        match cx.gate.send(mutation).await {
            Ok(reply) => {
                return Ok(match reply.outcome {
                    Outcome::Created { id } => applied(id),
                    _ => Applied::default(),
                });
            }
            Err(e) if e.kind == ErrorKind::Limit && !over(cx.read, since, PATIENCE) => {
                pause(&mut turn).await;
            }
            Err(e) => return Err(e.into()),
        }
    }
}

#[async_trait]
impl Action for CloudfrontInvalidate {
    type Params = Params;
    type Undo = Undo;

    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    fn about<'u>(&self, undo: &'u Undo) -> Vec<Named<'u>> {
        vec![(What::Distribution, &undo.distribution)]
    }

    fn astray(&self, undo: &Undo, _: &Of<'_>, params: &Params) -> Option<&'static str> {
        (undo.paths != params.paths).then_some("paths")
    }

    fn reversibility(&self, params: &Params) -> Reversibility {
        if params.paths.iter().any(|p| is_everything(p)) {
            Reversibility::Irreversible
        } else {
            Reversibility::Momentary
        }
    }

    fn check(&self, params: &Params) -> Vec<String> {
        let mut wrong = Vec::new();
        if params.paths.is_empty() {
            wrong.push("`paths` is empty; name at least one path".to_owned());
        }
        for path in params.paths.iter().filter(|p| !p.starts_with('/') && !p.contains("${")) {
            wrong.push(format!("`{path}` in `paths` must begin with `/`"));
        }
        for path in params.paths.iter().filter(|p| p.strip_suffix('*').unwrap_or(p).contains('*')) {
            wrong.push(format!("`{path}` in `paths`: CloudFront takes `*` only at the end"));
        }
        for path in params.paths.iter().filter(|p| encoded(p).len() > LONGEST_PATH) {
            let start: String = path.chars().take(40).collect();
            wrong.push(format!(
                "`{start}…` in `paths` is longer than the 4,000 characters that CloudFront takes"
            ));
        }
        let (wild, single): (Vec<_>, Vec<_>) = params.paths.iter().partition(|p| is_wild(p));
        if wild.len() > MOST_WILDCARDS {
            wrong.push(format!("`paths` has {} paths with `*`; CloudFront takes 15 at a time", wild.len()));
        }
        if single.len() > MOST_PATHS {
            wrong.push(format!("`paths` has {} files; CloudFront takes 3,000 at a time", single.len()));
        }
        wrong
    }

    async fn inspect(
        &self,
        cx: ReadCx<'_>,
        targets: &[Target],
        params: &Params,
    ) -> CloudResult<Vec<Finding>> {
        let mut out = Vec::new();
        if params.paths.iter().any(|p| is_everything(p)) {
            for target in targets {
                out.push(
                    Finding::new(
                        Severity::Warning,
                        &target.id,
                        "`/*` drops the whole cache: every request goes to the origin until it fills again",
                    )
                    .hint("name the paths that matter, if the origin could not take that"),
                );
            }
        }
        out.push(
            Finding::new(
                Severity::Info,
                cx.step.as_str(),
                "`Completed` says nothing about browsers and other caches",
            )
            .hint("prove it with an `http` probe on the distribution: body, `age`, `x-cache`"),
        );
        Ok(out)
    }

    async fn prepare(
        &self,
        cx: ReadCx<'_>,
        batch: &[(Option<Target>, Value)],
        params: &Params,
    ) -> Vec<Result<Undo, ActionError>> {
        batch
            .iter()
            .map(|(target, _)| {
                let target = target
                    .as_ref()
                    .ok_or_else(|| ActionError::refused("an invalidation needs a distribution"))?;
                Ok(Undo {
                    distribution: target.id.clone(),
                    reference: cx.token(&target.id),
                    paths: params.paths.clone(),
                    began: cx.clock.now(),
                })
            })
            .collect()
    }

    async fn apply(
        &self,
        cx: WriteCx<'_>,
        batch: &[Prepared<Undo>],
        _: &Params,
    ) -> Vec<Result<Applied, ActionError>> {
        let mut out = Vec::with_capacity(batch.len());
        for p in batch {
            out.push(apply_one(cx, &p.undo).await);
        }
        out
    }

    async fn poll(
        &self,
        cx: ReadCx<'_>,
        _: Option<&Target>,
        undo: &Undo,
        _: &Params,
    ) -> Result<Progress, ActionError> {
        Ok(match find(cx, undo).await? {
            None => Progress::Absent,
            // some emulators write it in capitals
            Some(i) if i.status.eq_ignore_ascii_case("Completed") => Progress::Ready(applied(i.id)),
            Some(i) => Progress::Pending(i.status),
        })
    }

    async fn undo(&self, _: WriteCx<'_>, _: Option<&Target>, undo: &Undo) -> Result<Undone, ActionError> {
        Ok(Undone::Nothing(format!(
            "{}: an invalidation cannot be cancelled; it passes by itself",
            undo.distribution
        )))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::actions::trial::{Trial, params, target};
    use crate::cloud::EffectCertainty;
    use crate::cloud::faulty::Fault;
    use crate::model::Clock as _;

    async fn storefront(t: &Trial) -> Target {
        let found = t.cloud.reads.cloudfront.distributions(None).await.unwrap();
        target(kinds::CLOUDFRONT_DISTRIBUTION, &found.items[0].id)
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_done_when_completed_and_undo_has_nothing_to_do() {
        let t = Trial::new();
        let before = t.sim.snapshot();
        let target = storefront(&t).await;
        let p = params(&CloudfrontInvalidate, json!({ "paths": ["/index.html", "/css/*"] }));
        let undo = t.prepare(&CloudfrontInvalidate, Some(&target), &p).await.unwrap();
        assert_eq!(CloudfrontInvalidate.poll(t.read(), None, &undo, &p).await.unwrap(), Progress::Absent);
        let done = t.apply(&CloudfrontInvalidate, Some(&target), &undo, &p).await.unwrap();
        let now = CloudfrontInvalidate.poll(t.read(), None, &undo, &p).await.unwrap();
        assert_eq!(now, Progress::Pending("InProgress".to_owned()));
        assert_eq!(t.settled(&CloudfrontInvalidate, &undo, &p).await.unwrap(), Progress::Ready(done));
        for _ in 0..2 {
            let undone = CloudfrontInvalidate.undo(t.write(), None, &undo).await.unwrap();
            assert!(matches!(undone, Undone::Nothing(_)));
        }
        assert_eq!(t.sim.snapshot(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_makes_no_second_invalidation() {
        for (fault, arrives) in [(Fault::LoseAnswer, true), (Fault::LoseRequest, false)] {
            let t = Trial::new().failing(0, 1, fault);
            let target = storefront(&t).await;
            let p = params(&CloudfrontInvalidate, json!({ "paths": ["/index.html"] }));
            let undo = t.prepare(&CloudfrontInvalidate, Some(&target), &p).await.unwrap();
            let e = t.apply(&CloudfrontInvalidate, Some(&target), &undo, &p).await.unwrap_err();
            assert_eq!(e.effect, EffectCertainty::Unknown);
            let found = t.settled(&CloudfrontInvalidate, &undo, &p).await.unwrap();
            assert_eq!(found != Progress::Absent, arrives, "{found:?}");
            t.apply(&CloudfrontInvalidate, Some(&target), &undo, &p).await.unwrap();
            let all = t.cloud.reads.cloudfront.invalidations(&target.id, None).await.unwrap();
            assert_eq!(all.items.len(), 1, "{fault:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_in_progress_are_waited_for() {
        let t = Trial::new();
        let target = storefront(&t).await;
        let fill = async || {
            for n in 0..15 {
                let fifteen = Mutation::CreateInvalidation {
                    distribution: target.id.clone(),
                    caller_reference: format!("{n} at {}", t.clock.now()),
                    paths: vec![format!("/{n}/*")],
                };
                t.cloud.mutate.send(&fifteen).await.unwrap();
            }
        };
        let p = params(&CloudfrontInvalidate, json!({ "paths": ["/css/*"] }));
        fill().await;
        let undo = t.prepare(&CloudfrontInvalidate, Some(&target), &p).await.unwrap();
        t.apply(&CloudfrontInvalidate, Some(&target), &undo, &p).await.unwrap();
        assert!((t.clock.now() - undo.began).num_seconds() >= 240, "the fifteen take four minutes");

        t.sim.tune(|pace| pace.invalidation = Dur::hours(24));
        tokio::time::sleep(std::time::Duration::from_secs(600)).await;
        fill().await;
        let undo = Undo { reference: "another".to_owned(), ..undo };
        let e = t.apply(&CloudfrontInvalidate, Some(&target), &undo, &p).await.unwrap_err();
        assert_eq!((e.kind, e.effect), (Some(ErrorKind::Limit), EffectCertainty::None), "not for ever");
    }

    #[test]
    fn only_what_a_url_does_not_have_is_encoded() {
        for (path, sent) in [
            ("/css/main.css", "/css/main.css"),
            ("/summer sale/*", "/summer%20sale/*"),
            ("/gr\u{f6}\u{df}en.html", "/gr%C3%B6%C3%9Fen.html"),
            // encoded by its author, and a sign that only looks so
            ("/a%20b?x=1&y=(2)+3,@$!", "/a%20b?x=1&y=(2)+3,@$!"),
            ("/100%", "/100%25"),
            ("/%e", "/%25e"),
            ("/test[1]~{2}|\"\u{7f}", "/test%5B1%5D%7E%7B2%7D%7C%22%7F"),
        ] {
            assert_eq!(encoded(path), sent);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn paths_reach_cloudfront_encoded_and_what_is_said_twice_is_one_invalidation() {
        let t = Trial::new();
        let target = storefront(&t).await;
        let p =
            params(&CloudfrontInvalidate, json!({ "paths": ["/summer sale/*", "/gr\u{f6}\u{df}en.html"] }));
        let undo = t.prepare(&CloudfrontInvalidate, Some(&target), &p).await.unwrap();
        for _ in 0..2 {
            t.apply(&CloudfrontInvalidate, Some(&target), &undo, &p).await.unwrap();
        }
        let all = t.cloud.reads.cloudfront.invalidations(&target.id, None).await.unwrap().items;
        let sent = t.cloud.reads.cloudfront.invalidation(&target.id, &all[0].id).await.unwrap().unwrap();
        assert_eq!(
            (all.len(), sent.paths.join(" ").as_str()),
            (1, "/summer%20sale/* /gr%C3%B6%C3%9Fen.html")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_history_is_not_read() {
        for (fault, pages) in [(None, 0), (Some(Fault::LoseAnswer), 1)] {
            let t = Trial::new();
            let t = match fault {
                Some(fault) => t.failing(0, 1, fault),
                None => t,
            };
            let target = storefront(&t).await;
            for n in 0..250 {
                let earlier = Mutation::CreateInvalidation {
                    distribution: target.id.clone(),
                    caller_reference: format!("earlier-{n}"),
                    paths: vec![format!("/{n}")],
                };
                t.cloud.mutate.send(&earlier).await.unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_secs(3_600)).await;
            let reads = |t: &Trial, operation: &str| {
                t.sim.calls().iter().filter(|c| c.operation == operation).count()
            };
            let p = params(&CloudfrontInvalidate, json!({ "paths": ["/index.html"] }));
            let undo = t.prepare(&CloudfrontInvalidate, Some(&target), &p).await.unwrap();
            let done = t.apply(&CloudfrontInvalidate, Some(&target), &undo, &p).await;
            assert_eq!(done.is_err(), fault.is_some());
            let found = t.settled(&CloudfrontInvalidate, &undo, &p).await.unwrap();
            assert!(matches!(found, Progress::Ready(_)), "{found:?}");
            let polls = reads(&t, "cloudfront:GetInvalidation");
            assert_eq!(reads(&t, "cloudfront:ListInvalidations"), polls * pages, "{fault:?}");
        }
    }

    #[test]
    fn what_no_request_may_hold_is_said_while_checking() {
        let wrong = |paths: Vec<String>| Action::check(&CloudfrontInvalidate, &Params { paths }).join("; ");
        let many = |n: usize, end: &str| (0..n).map(|p| format!("/{p}{end}")).collect::<Vec<_>>();
        assert_eq!(wrong(many(3_000, "")), "");
        assert!(wrong(many(3_001, "")).contains("3,000 at a time"));
        assert_eq!(wrong(many(15, "/*")), "");
        assert!(wrong(many(16, "/*")).contains("15 at a time"));
        assert_eq!(wrong(vec![format!("/{}", "a".repeat(3_999))]), "");
        // as it is sent: each of these takes six characters
        assert!(wrong(vec![format!("/{}", "\u{f6}".repeat(700))]).contains("4,000 characters"));
    }

    #[test]
    fn everything_at_once_is_irreversible() {
        let reversibility = |paths: Value| {
            let p = params(&CloudfrontInvalidate, json!({ "paths": paths }));
            Action::reversibility(&CloudfrontInvalidate, &p)
        };
        assert_eq!(reversibility(json!(["/a", "/*"])), Reversibility::Irreversible);
        assert_eq!(reversibility(json!(["//*"])), Reversibility::Irreversible);
        assert_eq!(reversibility(json!(["/a/*"])), Reversibility::Momentary);
        // two are not what CloudFront documents, and not a way around the rule for everything
        let wrong = CloudfrontInvalidate.check(&serde_json::from_value(json!({ "paths": ["/**"] })).unwrap());
        assert!(wrong.iter().any(|w| w.contains("`*` only at the end")), "{wrong:?}");
        let check = |paths: Value| {
            Action::check(&CloudfrontInvalidate, &params(&CloudfrontInvalidate, json!({ "paths": paths })))
        };
        assert_eq!(check(json!(["/a", "/b/*", "${params.path}"])), [""; 0]);
        assert_eq!(check(json!([])).len(), 1);
        assert_eq!(check(json!(["a"])).len(), 1);
        assert_eq!(check(json!(["/a*b"])).len(), 1);
    }
}
