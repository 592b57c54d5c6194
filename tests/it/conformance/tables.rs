//! Route tables: what an association decides, and what its id is worth.

use redrill::cloud::{EffectCertainty, ErrorKind, Filter, Mutation, RouteTable};

use super::{TestWorld, tags};

pub(super) async fn a_subnet_without_association_follows_the_main_table(w: &TestWorld) {
    let subnet = w.subnet("shop-private-a").await.id;
    let (table, association) = w.association(&subnet).await.expect("the shop associates its subnets");
    w.done(Mutation::DisassociateRouteTable { association: association.clone() }).await;
    assert_eq!(w.association(&subnet).await, None);
    let e = w.send(Mutation::DisassociateRouteTable { association: association.clone() }).await;
    assert_eq!(e.expect_err("it is gone").kind, ErrorKind::NotFound);
    let new = w.created(Mutation::AssociateRouteTable { subnet: subnet.clone(), table: table.clone() }).await;
    assert_ne!(new, association);
    assert_eq!(w.association(&subnet).await, Some((table, new)));
}

async fn own_table(w: &TestWorld, subnet: &str, token: &str) -> String {
    let vpc = w.subnet(subnet).await.vpc;
    let tags = tags(&[("redrill:run", "conformance")]);
    let id = w.created(Mutation::CreateRouteTable { token: token.to_owned(), vpc, tags }).await;
    visible(w, &id).await;
    id
}

async fn visible(w: &TestWorld, id: &str) -> RouteTable {
    let filter = Filter { ids: vec![id.to_owned()], tags: Vec::new() };
    w.until("the new table is found by its id", async || {
        match w.cloud.reads.ec2.route_tables(&filter, None).await {
            Ok(page) => page.items.into_iter().next(),
            Err(e) => {
                assert!(e.is_not_found(), "{e}");
                None
            }
        }
    })
    .await
}

pub(super) async fn every_replacement_has_a_new_id(w: &TestWorld) {
    let subnet = w.subnet("shop-private-b").await.id;
    let (table, first) = w.association(&subnet).await.expect("the shop associates its subnets");
    let empty = own_table(w, "shop-private-b", "replace").await;
    let second = w
        .created(Mutation::ReplaceRouteTableAssociation { association: first.clone(), table: empty.clone() })
        .await;
    assert_eq!(w.association(&subnet).await, Some((empty, second.clone())));
    let stale = Mutation::ReplaceRouteTableAssociation { association: first.clone(), table: table.clone() };
    assert_eq!(w.send(stale).await.expect_err("the old id is worth nothing").kind, ErrorKind::NotFound);
    let back = Mutation::ReplaceRouteTableAssociation { association: second.clone(), table: table.clone() };
    let third = w.created(back).await;
    assert!(third != first && third != second);
    assert_eq!(w.association(&subnet).await, Some((table, third)));
}

pub(super) async fn the_main_association_stays(w: &TestWorld) {
    let vpc = w.subnet("shop-private-a").await.vpc;
    let main = async || {
        let tables = w.tables().await.into_iter().filter(|t| t.vpc == vpc);
        let found: Vec<_> = tables.flat_map(|t| t.associations).filter(|a| a.main).map(|a| a.id).collect();
        assert_eq!(found.len(), 1, "a VPC has one main table");
        found.into_iter().next().expect("one")
    };
    let before = main().await;
    let e = w.send(Mutation::DisassociateRouteTable { association: before.clone() }).await;
    assert_eq!(e.expect_err("it is the main one").effect, EffectCertainty::None);
    assert_eq!(main().await, before);
}

pub(super) async fn a_subnet_has_one_association(w: &TestWorld) {
    let subnet = w.subnet("shop-private-a").await.id;
    let before = w.association(&subnet).await;
    let table = own_table(w, "shop-private-a", "second").await;
    let e = w.send(Mutation::AssociateRouteTable { subnet: subnet.clone(), table }).await;
    let e = e.expect_err("it has one already");
    assert_eq!(e.code.as_deref(), Some("Resource.AlreadyAssociated"));
    assert_eq!(e.effect, EffectCertainty::None);
    assert_eq!(w.association(&subnet).await, before);
}

pub(super) async fn a_table_with_associations_is_not_deleted(w: &TestWorld) {
    let subnet = w.subnet("shop-public-b").await.id;
    let (table, first) = w.association(&subnet).await.expect("the shop associates its subnets");
    let own = own_table(w, "shop-public-b", "delete").await;
    let shown = visible(w, &own).await;
    assert_eq!(shown.routes.len(), 1, "a new table has the local route only: {:?}", shown.routes);
    assert_eq!(shown.routes[0].via, "local");
    assert_eq!(shown.tags["redrill:run"], "conformance");
    let second =
        w.created(Mutation::ReplaceRouteTableAssociation { association: first, table: own.clone() }).await;
    let e =
        w.send(Mutation::DeleteRouteTable { table: own.clone() }).await.expect_err("a subnet hangs on it");
    assert_eq!((e.kind, e.effect), (ErrorKind::State, EffectCertainty::None), "{e}");
    w.created(Mutation::ReplaceRouteTableAssociation { association: second, table }).await;
    w.done(Mutation::DeleteRouteTable { table: own.clone() }).await;
    let e = w.send(Mutation::DeleteRouteTable { table: own }).await.expect_err("it is gone");
    assert_eq!(e.kind, ErrorKind::NotFound, "{e}");
}

pub(super) async fn a_new_table_with_the_same_token_is_one_table(w: &TestWorld) {
    let one = own_table(w, "shop-private-a", "one").await;
    assert_eq!(own_table(w, "shop-private-a", "one").await, one);
    assert_ne!(own_table(w, "shop-private-a", "two").await, one);
}
