//! What IAM would decide. I/O; see the module above for what holds everywhere.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_iam::types::{
    ContextEntry, ContextKeyTypeEnum as Kind, EvaluationResult, PolicyEvaluationDecisionType as Evaluated,
};
use aws_smithy_types::retry::RetryConfig;

use super::error::failed_read;
use super::non_empty;
use crate::cloud::{CloudError, CloudResult, ContextValue, Decision, ErrorKind, Iam, Question, Ruling};

const SIMULATE: &str = "iam:SimulatePrincipalPolicy";

/// Reads of IAM.
pub(super) struct IamReads {
    pub(super) client: aws_sdk_iam::Client,
}

/// The reads of a connection. An emulator that does not know a call answers with a server's error again and
/// again, so that one attempt is enough there.
pub(super) fn reads(config: &SdkConfig, elsewhere: bool) -> IamReads {
    let mut builder = aws_sdk_iam::config::Builder::from(config);
    if elsewhere {
        builder = builder.retry_config(RetryConfig::standard().with_max_attempts(1));
    }
    IamReads { client: aws_sdk_iam::Client::from_conf(builder.build()) }
}

#[async_trait]
impl Iam for IamReads {
    async fn role_arn(&self, name: &str) -> CloudResult<String> {
        let out = self.client.get_role().role_name(name).send().await.map_err(failed_read("iam:GetRole"))?;
        let arn = out.role().map(|r| r.arn().to_owned()).and_then(|arn| non_empty(Some(&arn)));
        arn.ok_or_else(|| CloudError::new("iam:GetRole", ErrorKind::Unreadable, "the role has no ARN"))
    }

    async fn profile_role(&self, profile: &str) -> CloudResult<Option<String>> {
        let call = self.client.get_instance_profile().instance_profile_name(profile);
        let out = call.send().await.map_err(failed_read("iam:GetInstanceProfile"))?;
        let role = out.instance_profile().and_then(|p| p.roles().first()).map(|r| r.arn());
        Ok(non_empty(role))
    }

    async fn simulate(&self, question: &Question) -> CloudResult<Vec<Decision>> {
        let context: Vec<ContextEntry> =
            question.context.iter().map(|(key, value)| entry(key, value)).collect();
        let mut decisions = Vec::new();
        let mut marker = None;
        loop {
            let out = self
                .client
                .simulate_principal_policy()
                .policy_source_arn(&question.principal)
                .set_action_names(Some(question.actions.clone()))
                .set_resource_arns(Some(question.resources.clone()))
                .set_context_entries(Some(context.clone()))
                .set_marker(marker.clone())
                .send()
                .await
                .map_err(failed_read(SIMULATE))?;
            for result in out.evaluation_results() {
                decide(result, question, &mut decisions);
            }
            let next = non_empty(out.marker()).filter(|_| out.is_truncated());
            if next.is_none() {
                return Ok(decisions);
            }
            if next == marker {
                return Err(CloudError::new(SIMULATE, ErrorKind::Other, "the same page was offered twice"));
            }
            marker = next;
        }
    }
}

fn entry(key: &str, value: &ContextValue) -> ContextEntry {
    let (kind, values) = match value {
        ContextValue::Text(text) => (Kind::String, vec![text.clone()]),
        ContextValue::Texts(texts) => (Kind::StringList, texts.clone()),
        ContextValue::Bool(yes) => (Kind::Boolean, vec![yes.to_string()]),
    };
    ContextEntry::builder()
        .context_key_name(key)
        .context_key_type(kind)
        .set_context_key_values(Some(values))
        .build()
}

/// One result is for one action: for one resource, or, as AWS answers by now, for all of them with the decision
/// on each below it (API reference, "EvaluationResult").
fn decide(result: &EvaluationResult, question: &Question, out: &mut Vec<Decision>) {
    let action = result.eval_action_name();
    let organization = result.organizations_decision_detail().map(|d| d.allowed_by_organizations());
    let boundary = result.permissions_boundary_decision_detail().map(|d| d.allowed_by_permissions_boundary());
    let single = result.resource_specific_results();
    for one in single {
        let boundary = one
            .permissions_boundary_decision_detail()
            .map(|d| d.allowed_by_permissions_boundary())
            .or(boundary);
        out.push(Decision {
            action: action.to_owned(),
            resource: one.eval_resource_name().to_owned(),
            ruling: ruling(
                one.eval_resource_decision(),
                !one.matched_statements().is_empty(),
                organization,
                boundary,
            ),
            missing: one.missing_context_values().to_vec(),
        });
    }
    if single.is_empty() {
        // The name is one of those asked about, or, as AWS answers by now, the form of such ARNs; then it is the answer
        // for whatever was asked about.
        let named = result.eval_resource_name().filter(|r| question.resources.iter().any(|asked| asked == r));
        for resource in named.map_or_else(|| question.resources.clone(), |r| vec![r.to_owned()]) {
            out.push(Decision {
                action: action.to_owned(),
                resource,
                ruling: ruling(
                    result.eval_decision(),
                    !result.matched_statements().is_empty(),
                    organization,
                    boundary,
                ),
                missing: result.missing_context_values().to_vec(),
            });
        }
    }
}

/// `matched`: whether a statement is named that led to it. Those of the organization's policies never are, so that a
/// denial without one is the organization's, also where the answer does not say so (API reference, "EvaluationResult").
fn ruling(decision: &Evaluated, matched: bool, organization: Option<bool>, boundary: Option<bool>) -> Ruling {
    match decision {
        Evaluated::Allowed => Ruling::Allowed,
        _ if organization == Some(false) => Ruling::Organization,
        _ if boundary == Some(false) => Ruling::Boundary,
        Evaluated::ExplicitDeny if !matched && organization.is_none() => Ruling::Organization,
        Evaluated::ExplicitDeny => Ruling::Explicit,
        _ => Ruling::NoPolicy,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_iam::types::{OrganizationsDecisionDetail, ResourceSpecificResult, Statement};

    use super::*;

    fn decided(result: &EvaluationResult) -> Vec<(String, Ruling)> {
        let question = Question { resources: vec!["a".to_owned(), "b".to_owned()], ..Question::default() };
        let mut out = Vec::new();
        decide(result, &question, &mut out);
        out.into_iter().map(|d| (d.resource, d.ruling)).collect()
    }

    fn result(decision: Evaluated) -> aws_sdk_iam::types::builders::EvaluationResultBuilder {
        EvaluationResult::builder().eval_action_name("ec2:StopInstances").eval_decision(decision)
    }

    #[test]
    fn both_forms_of_an_answer_are_read() {
        let one = |name: &str, decision| {
            ResourceSpecificResult::builder()
                .eval_resource_name(name)
                .eval_resource_decision(decision)
                .matched_statements(Statement::builder().source_policy_id("own").build())
                .build()
                .unwrap()
        };
        // the whole is as bad as its worst part, and says nothing of the others
        let together = result(Evaluated::ExplicitDeny)
            .resource_specific_results(one("a", Evaluated::Allowed))
            .resource_specific_results(one("b", Evaluated::ExplicitDeny));
        assert_eq!(
            decided(&together.build().unwrap()),
            [("a".to_owned(), Ruling::Allowed), ("b".to_owned(), Ruling::Explicit)]
        );
        let single = result(Evaluated::ImplicitDeny).eval_resource_name("a");
        assert_eq!(decided(&single.build().unwrap()), [("a".to_owned(), Ruling::NoPolicy)]);
        // no name, or the form of the names, is the answer for all that were asked about
        for form in
            [None, Some("*"), Some("arn:${Partition}:ec2:${Region}:${Account}:instance/${InstanceId}")]
        {
            let whole = result(Evaluated::Allowed).set_eval_resource_name(form.map(str::to_owned));
            let all = [("a".to_owned(), Ruling::Allowed), ("b".to_owned(), Ruling::Allowed)];
            assert_eq!(decided(&whole.build().unwrap()), all, "{form:?}");
        }
    }

    #[test]
    fn who_denies_is_told() {
        let organization = OrganizationsDecisionDetail::builder().allowed_by_organizations(false).build();
        let denied = result(Evaluated::ImplicitDeny)
            .eval_resource_name("a")
            .organizations_decision_detail(organization)
            .build()
            .unwrap();
        assert_eq!(decided(&denied), [("a".to_owned(), Ruling::Organization)]);
        assert_eq!(ruling(&Evaluated::ImplicitDeny, false, Some(true), Some(false)), Ruling::Boundary);
        assert_eq!(ruling(&Evaluated::Allowed, true, Some(true), Some(true)), Ruling::Allowed);
        assert_eq!(ruling(&Evaluated::from("something new"), false, None, None), Ruling::NoPolicy);
        // a denial is of the caller's own policies where one of their statements is named, or the organization allows
        for (matched, organization, said) in [
            (true, None, Ruling::Explicit),
            (false, Some(true), Ruling::Explicit),
            (true, Some(false), Ruling::Organization),
            (false, None, Ruling::Organization),
        ] {
            assert_eq!(ruling(&Evaluated::ExplicitDeny, matched, organization, None), said);
        }
    }
}
