//! Reads in full: what AWS answered, before the SDK leaves out what it does not know. I/O; the reading of XML is pure.
//!
//! The SDK's types have the fields of the day it was made. So the answer itself is kept beside them and read again:
//! both services answer in XML ("EC2 query" and "AWS query" protocols).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use roxmltree::{Document, Node};

use super::error::failed_read;
use crate::cloud::{CloudError, CloudResult, ErrorKind, Fields, Part, Whole};

/// Ids in one call; of filters AWS takes 200 values.
const AT_ONCE: usize = 200;
/// How deep an answer is read: AWS's go down to about ten, and what does not end must not end this process.
const DEEPEST: usize = 64;

/// Reads in full.
pub(super) struct WholeReads {
    pub(super) ec2: aws_sdk_ec2::Client,
    pub(super) rds: aws_sdk_rds::Client,
}

#[async_trait]
impl Whole for WholeReads {
    async fn whole(&self, part: Part, ids: &[String]) -> CloudResult<BTreeMap<String, Fields>> {
        let mut all = BTreeMap::new();
        for some in ids.chunks(if part == Part::Databases { 1 } else { AT_ONCE }) {
            let kept = Kept::default();
            self.ask(part, some.to_vec(), kept.clone()).await?;
            let body = kept.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
            all.extend(read(part, &body)?);
        }
        Ok(all)
    }
}

impl WholeReads {
    async fn ask(&self, part: Part, ids: Vec<String>, kept: Kept) -> CloudResult<()> {
        let op = part.operation();
        // volumes and interfaces come and go: a filter leaves out what is gone, where an id would be an error
        let filter =
            |name: &str, ids| aws_sdk_ec2::types::Filter::builder().name(name).set_values(Some(ids)).build();
        match part {
            Part::Instances => {
                let ask = self.ec2.describe_instances().set_instance_ids(Some(ids));
                ask.customize().interceptor(kept).send().await.map_err(failed_read(op))?;
            }
            Part::Volumes => {
                let ask = self.ec2.describe_volumes().filters(filter("volume-id", ids));
                ask.customize().interceptor(kept).send().await.map_err(failed_read(op))?;
            }
            Part::Interfaces => {
                let ask = self.ec2.describe_network_interfaces().filters(filter("network-interface-id", ids));
                ask.customize().interceptor(kept).send().await.map_err(failed_read(op))?;
            }
            Part::Databases => {
                let ask = self.rds.describe_db_instances().set_db_instance_identifier(ids.into_iter().next());
                ask.customize().interceptor(kept).send().await.map_err(failed_read(op))?;
            }
        }
        Ok(())
    }
}

/// Keeps the body of the answer.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Option<Vec<u8>>>>);

impl Intercept for Kept {
    fn name(&self) -> &'static str {
        "Kept"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().map(<[u8]>::to_vec);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body;
        Ok(())
    }
}

/// What an answer tells of each, by id.
fn read(part: Part, body: &[u8]) -> CloudResult<BTreeMap<String, Fields>> {
    let unreadable = |why: String| CloudError::new(part.operation(), ErrorKind::Unreadable, why);
    let text = std::str::from_utf8(body).map_err(|e| unreadable(e.to_string()))?;
    let answer = Document::parse(text).map_err(|e| unreadable(e.to_string()))?;
    let list = match part {
        Part::Instances => "instancesSet",
        Part::Volumes => "volumeSet",
        Part::Interfaces => "networkInterfaceSet",
        Part::Databases => "DBInstances",
    };
    let lists = answer.descendants().filter(|n| n.tag_name().name() == list);
    let all = lists.flat_map(|list| list.children().filter(Node::is_element)).filter_map(|one| {
        let mut told = Vec::new();
        flatten(one, "", DEEPEST, &mut told);
        Some((text_of(one, part.id())?.to_owned(), Fields::of(told)))
    });
    Ok(all.collect())
}

/// Below each other in `path`, with the name of what has one in brackets.
fn flatten(node: Node<'_, '_>, path: &str, room: usize, told: &mut Vec<(String, String)>) {
    let Some(room) = room.checked_sub(1) else { return };
    for child in node.children().filter(Node::is_element) {
        let tag = child.tag_name().name();
        // the name of a list says what its members are
        let below = match (tag, path) {
            ("item" | "member", _) => path.to_owned(),
            (_, "") => tag.to_owned(),
            _ => format!("{path}.{tag}"),
        };
        let pair = [("key", "value"), ("Key", "Value"), ("Name", "Value")]
            .iter()
            .find_map(|(key, value)| Some((text_of(child, key)?, child_of(child, value)?)));
        if let Some((key, value)) = pair {
            told.push((format!("{path}[{key}]"), value.text().unwrap_or_default().to_owned()));
        } else if let Some(name) = name_of(child) {
            flatten(child, &format!("{below}[{name}]"), room, told);
        } else if child.children().any(|c| c.is_element()) {
            flatten(child, &below, room, told);
        } else if let Some(value) = child.text().map(str::trim).filter(|v| !v.is_empty()) {
            told.push((below, value.to_owned()));
        }
    }
}

/// What an attached thing is known by on both sides: its device.
fn name_of<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    let index = || text_of(child_of(node, "attachment")?, "deviceIndex");
    text_of(node, "deviceName").or_else(|| text_of(node, "VolumeName")).or_else(index)
}

fn child_of<'a, 'i>(node: Node<'a, 'i>, tag: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|c| c.tag_name().name() == tag)
}

fn text_of<'a>(node: Node<'a, '_>, tag: &str) -> Option<&'a str> {
    child_of(node, tag)?.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_read_with_what_no_type_knows() {
        let body = "<DescribeInstancesResponse xmlns='http://ec2.amazonaws.com/doc/2016-11-15/'><reservationSet><item>
            <reservationId>r-1</reservationId><instancesSet><item><instanceId>i-1</instanceId>
            <instanceState><code>16</code><name>running</name></instanceState><reason/>
            <quantumOptions><entangled>true</entangled></quantumOptions>
            <groupSet><item><groupId>sg-2</groupId></item><item><groupId>sg-1</groupId></item></groupSet>
            <blockDeviceMapping><item><deviceName>/dev/sdf</deviceName><ebs><volumeId>vol-1</volumeId></ebs></item>
            </blockDeviceMapping><networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId>
            <attachment><deviceIndex>0</deviceIndex></attachment></item></networkInterfaceSet>
            <tagSet><item><key>Name</key><value>web</value></item><item><key>empty</key><value/></item></tagSet>
            </item></instancesSet></item></reservationSet></DescribeInstancesResponse>";
        let read = read(Part::Instances, body.as_bytes()).unwrap();
        let expected = Fields::of([
            ("instanceId", "i-1"),
            ("instanceState.code", "16"),
            ("instanceState.name", "running"),
            ("quantumOptions.entangled", "true"),
            ("groupSet.groupId", "sg-1"),
            ("groupSet.groupId", "sg-2"),
            ("blockDeviceMapping[/dev/sdf].deviceName", "/dev/sdf"),
            ("blockDeviceMapping[/dev/sdf].ebs.volumeId", "vol-1"),
            ("networkInterfaceSet[0].networkInterfaceId", "eni-1"),
            ("networkInterfaceSet[0].attachment.deviceIndex", "0"),
            ("tagSet[Name]", "web"),
            ("tagSet[empty]", ""),
        ]);
        assert_eq!(read, BTreeMap::from([("i-1".to_owned(), expected)]));
    }

    #[test]
    fn a_database_is_read_by_the_names_of_its_lists() {
        let body = "<DescribeDBInstancesResponse xmlns='http://rds.amazonaws.com/doc/2014-10-31/'>
            <DescribeDBInstancesResult><DBInstances><DBInstance><DBInstanceIdentifier>orders</DBInstanceIdentifier>
            <VpcSecurityGroups><VpcSecurityGroupMembership><VpcSecurityGroupId>sg-1</VpcSecurityGroupId>
            </VpcSecurityGroupMembership></VpcSecurityGroups>
            <TagList><Tag><Key>app</Key><Value>shop</Value></Tag></TagList></DBInstance></DBInstances>
            </DescribeDBInstancesResult></DescribeDBInstancesResponse>";
        let read = read(Part::Databases, body.as_bytes()).unwrap();
        let group = "VpcSecurityGroups.VpcSecurityGroupMembership.VpcSecurityGroupId";
        let expected =
            Fields::of([("DBInstanceIdentifier", "orders"), (group, "sg-1"), ("TagList[app]", "shop")]);
        assert_eq!(read, BTreeMap::from([("orders".to_owned(), expected)]));
    }

    #[test]
    fn an_answer_without_a_floor_is_read_down_to_a_depth() {
        let (down, up) = ("<a>".repeat(100_000), "</a>".repeat(100_000));
        let body = format!(
            "<volumeSet><item><volumeId>vol-1</volumeId><size>8</size>{down}x{up}</item></volumeSet>"
        );
        let read = read(Part::Volumes, body.as_bytes()).unwrap();
        assert_eq!(read["vol-1"], Fields::of([("volumeId", "vol-1"), ("size", "8")]));
    }

    #[test]
    fn what_is_no_xml_is_unreadable_and_nothing_found_is_none() {
        let answer = "<DescribeVolumesResponse><volumeSet/></DescribeVolumesResponse>";
        assert_eq!(read(Part::Volumes, answer.as_bytes()).unwrap(), BTreeMap::new());
        assert_eq!(read(Part::Volumes, b"{}").unwrap_err().kind, ErrorKind::Unreadable);
    }
}
