//! The smaller services' reads: STS, CloudWatch, load balancing, Auto Scaling, Secrets Manager.
//! I/O; see the module above for what holds everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use chrono::{DateTime, Utc};

use super::credentials::Lives;
use super::error::failed_read;
use super::{non_empty, time};
use crate::cloud::{
    Alarm, AutoScaling, ClassicLoadBalancer, CloudError, CloudResult, CloudWatch, Elb, ErrorKind,
    GroupMember, Identity, Page, Registration, Secret, Secrets, Ssm, Sts, TargetGroup,
};

/// Reads of STS.
pub(super) struct StsReads {
    pub(super) client: aws_sdk_sts::Client,
    pub(super) lives: Lives,
}

#[async_trait]
impl Sts for StsReads {
    async fn identity(&self) -> CloudResult<Identity> {
        let date = DateHeader::default();
        let out = self
            .client
            .get_caller_identity()
            .customize()
            .interceptor(date.clone())
            .send()
            .await
            .map_err(failed_read("sts:GetCallerIdentity"))?;
        let life = self.lives.newest();
        Ok(Identity {
            account: out.account().unwrap_or_default().to_owned(),
            arn: out.arn().unwrap_or_default().to_owned(),
            expires_at: life.expires_at,
            renewable: life.renewable,
            server_date: date.get(),
        })
    }
}

/// Keeps the `Date` header of the last answer.
#[derive(Clone, Debug, Default)]
struct DateHeader(Arc<Mutex<Option<String>>>);

impl DateHeader {
    fn get(&self) -> Option<DateTime<Utc>> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        DateTime::parse_from_rfc2822(&text).ok().map(|date| date.to_utc())
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for DateHeader {
    fn name(&self) -> &'static str {
        "DateHeader"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").map(str::to_owned);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

/// Reads of CloudWatch.
pub(super) struct CloudWatchReads {
    pub(super) client: aws_sdk_cloudwatch::Client,
}

#[async_trait]
impl CloudWatch for CloudWatchReads {
    async fn alarm(&self, name: &str) -> CloudResult<Option<Alarm>> {
        use aws_sdk_cloudwatch::types::AlarmType;
        let out = self
            .client
            .describe_alarms()
            .alarm_names(name)
            .alarm_types(AlarmType::MetricAlarm)
            .alarm_types(AlarmType::CompositeAlarm)
            .send()
            .await
            .map_err(failed_read("cloudwatch:DescribeAlarms"))?;
        let metric = out.metric_alarms().first().map(|a| Alarm {
            name: a.alarm_name().unwrap_or_default().to_owned(),
            state: a.state_value().map(ToString::to_string).unwrap_or_default(),
            changed_at: a.state_transitioned_timestamp().or(a.state_updated_timestamp()).and_then(time),
            reason: a.state_reason().unwrap_or_default().to_owned(),
        });
        let composite = out.composite_alarms().first().map(|a| Alarm {
            name: a.alarm_name().unwrap_or_default().to_owned(),
            state: a.state_value().map(ToString::to_string).unwrap_or_default(),
            changed_at: a.state_transitioned_timestamp().or(a.state_updated_timestamp()).and_then(time),
            reason: a.state_reason().unwrap_or_default().to_owned(),
        });
        Ok(metric.or(composite))
    }
}

/// Reads of load balancing.
pub(super) struct ElbReads {
    pub(super) client: aws_sdk_elasticloadbalancingv2::Client,
    pub(super) classic: aws_sdk_elasticloadbalancing::Client,
}

#[async_trait]
impl Elb for ElbReads {
    async fn target_groups(&self, page: Option<String>) -> CloudResult<Page<TargetGroup>> {
        let out = self
            .client
            .describe_target_groups()
            .page_size(400)
            .set_marker(page)
            .send()
            .await
            .map_err(failed_read("elasticloadbalancing:DescribeTargetGroups"))?;
        Ok(Page {
            items: out
                .target_groups()
                .iter()
                .map(|g| TargetGroup {
                    arn: g.target_group_arn().unwrap_or_default().to_owned(),
                    name: g.target_group_name().unwrap_or_default().to_owned(),
                    target_type: g.target_type().map(ToString::to_string).unwrap_or_default(),
                    vpc: non_empty(g.vpc_id()),
                    protocol: g.protocol().map(ToString::to_string),
                    ip_type: g.ip_address_type().map(ToString::to_string),
                })
                .collect(),
            next: non_empty(out.next_marker()),
        })
    }

    async fn classic(&self, page: Option<String>) -> CloudResult<Page<ClassicLoadBalancer>> {
        let out = self
            .classic
            .describe_load_balancers()
            .page_size(400)
            .set_marker(page)
            .send()
            .await
            .map_err(failed_read("elasticloadbalancing:DescribeLoadBalancers"))?;
        let one = |l: &aws_sdk_elasticloadbalancing::types::LoadBalancerDescription| ClassicLoadBalancer {
            name: l.load_balancer_name().unwrap_or_default().to_owned(),
            instances: l.instances().iter().filter_map(|i| non_empty(i.instance_id())).collect(),
        };
        Ok(Page {
            items: out.load_balancer_descriptions().iter().map(one).collect(),
            next: non_empty(out.next_marker()),
        })
    }

    async fn registrations(&self, group: &str) -> CloudResult<Vec<Registration>> {
        let out = self
            .client
            .describe_target_health()
            .target_group_arn(group)
            .send()
            .await
            .map_err(failed_read("elasticloadbalancing:DescribeTargetHealth"))?;
        Ok(out
            .target_health_descriptions()
            .iter()
            .map(|d| Registration {
                group: group.to_owned(),
                id: d.target().and_then(|t| t.id()).unwrap_or_default().to_owned(),
                port: d.target().and_then(|t| t.port()),
                state: d.target_health().and_then(|h| h.state()).map(ToString::to_string).unwrap_or_default(),
                reason: d.target_health().and_then(|h| h.reason()).map(ToString::to_string),
            })
            .collect())
    }
}

/// Reads of Auto Scaling.
pub(super) struct AutoScalingReads {
    pub(super) client: aws_sdk_autoscaling::Client,
}

#[async_trait]
impl AutoScaling for AutoScalingReads {
    async fn members(&self, instances: &[String]) -> CloudResult<Vec<GroupMember>> {
        let mut found = Vec::new();
        // fifty ids a call is the most that AWS takes
        for ids in instances.chunks(50) {
            let mut token = None;
            loop {
                let out = self
                    .client
                    .describe_auto_scaling_instances()
                    .set_instance_ids(Some(ids.to_vec()))
                    .set_next_token(token)
                    .send()
                    .await
                    .map_err(failed_read("autoscaling:DescribeAutoScalingInstances"))?;
                found.extend(out.auto_scaling_instances().iter().filter_map(|m| {
                    let is_unhealthy = m.health_status().is_some_and(|h| h.eq_ignore_ascii_case("unhealthy"));
                    Some((m.instance_id()?.to_owned(), m.auto_scaling_group_name()?.to_owned(), is_unhealthy))
                }));
                token = non_empty(out.next_token());
                if token.is_none() {
                    break;
                }
            }
        }
        let suspended = self.suspended(found.iter().map(|(_, group, _)| group.clone()).collect()).await?;
        Ok(found
            .into_iter()
            .map(|(instance, group, is_unhealthy)| GroupMember {
                suspended: suspended.get(&group).cloned().unwrap_or_default(),
                instance,
                group,
                is_unhealthy,
            })
            .collect())
    }
}

impl AutoScalingReads {
    async fn suspended(&self, groups: BTreeSet<String>) -> CloudResult<BTreeMap<String, Vec<String>>> {
        let groups: Vec<String> = groups.into_iter().collect();
        let mut suspended = BTreeMap::new();
        for names in groups.chunks(50) {
            let mut token = None;
            loop {
                let out = self
                    .client
                    .describe_auto_scaling_groups()
                    .set_auto_scaling_group_names(Some(names.to_vec()))
                    .set_next_token(token)
                    .send()
                    .await
                    .map_err(failed_read("autoscaling:DescribeAutoScalingGroups"))?;
                for group in out.auto_scaling_groups() {
                    let processes = group
                        .suspended_processes()
                        .iter()
                        .filter_map(|p| p.process_name().map(str::to_owned))
                        .collect();
                    suspended
                        .insert(group.auto_scaling_group_name().unwrap_or_default().to_owned(), processes);
                }
                token = non_empty(out.next_token());
                if token.is_none() {
                    break;
                }
            }
        }
        Ok(suspended)
    }
}

/// Reads of Secrets Manager.
pub(super) struct SecretsReads {
    pub(super) client: aws_sdk_secretsmanager::Client,
}

#[async_trait]
impl Secrets for SecretsReads {
    async fn secret(&self, id: &str) -> CloudResult<Secret> {
        const OPERATION: &str = "secretsmanager:GetSecretValue";
        let out =
            self.client.get_secret_value().secret_id(id).send().await.map_err(failed_read(OPERATION))?;
        out.secret_string().map(Secret::new).ok_or_else(|| {
            CloudError::new(OPERATION, ErrorKind::Invalid, format!("the secret `{id}` is binary, not text"))
        })
    }
}

/// The value of a parameter. That of a SecureString comes encrypted, since nothing is asked to decrypt it.
fn plain(parameter: &aws_sdk_ssm::types::Parameter) -> CloudResult<Option<String>> {
    if parameter.r#type() == Some(&aws_sdk_ssm::types::ParameterType::SecureString) {
        let text = format!(
            "the parameter {} is a SecureString, which is not decrypted; make it one of type String",
            parameter.name().unwrap_or_default()
        );
        return Err(CloudError::new("ssm:GetParameter", ErrorKind::Invalid, text));
    }
    Ok(parameter.value().map(str::to_owned))
}

/// Reads of Systems Manager.
pub(super) struct SsmReads {
    pub(super) client: aws_sdk_ssm::Client,
}

#[async_trait]
impl Ssm for SsmReads {
    async fn parameter(&self, name: &str) -> CloudResult<Option<String>> {
        let sent = self.client.get_parameter().name(name).send().await;
        match sent.map_err(failed_read("ssm:GetParameter")) {
            Ok(out) => out.parameter().map_or(Ok(None), plain),
            Err(e) if e.code.as_deref() == Some("ParameterNotFound") => Ok(None),
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ssm::types::{Parameter, ParameterType};

    use super::*;

    #[test]
    fn an_encrypted_parameter_is_no_value() {
        let of = |kind| plain(&Parameter::builder().name("stop").value("off").r#type(kind).build());
        assert_eq!(of(ParameterType::String).unwrap().as_deref(), Some("off"));
        assert_eq!(of(ParameterType::StringList).unwrap().as_deref(), Some("off"));
        let e = of(ParameterType::SecureString).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Invalid);
        assert!(e.message.contains("stop is a SecureString"), "{e}");
    }
}
