//! Target groups in which a replacement cannot be as the original is.

use super::*;

/// What is refused in the plan, and what a run refuses when it captures.
async fn refused(s: &Scene) -> (Vec<String>, Option<String>) {
    let target = instance(&s.old);
    let planned = s.bench.refusals(&ACTION, std::slice::from_ref(&target), &Value::Null).await;
    let captured = DynAction::capture(&ACTION, s.bench.read(), &target, &Value::Null).await;
    (planned, captured.err().map(|e| e.message))
}

#[tokio::test(start_paused = true)]
async fn of_a_quic_group_it_is_refused_before_the_fault() {
    for protocol in ["QUIC", "TCP_QUIC"] {
        let s = scene("quic");
        assert_eq!(refused(&s).await, (Vec::new(), None));
        s.bench.sim.edit_target_group(&s.group, |g| g.protocol = Some(protocol.to_owned()));
        let (planned, captured) = refused(&s).await;
        assert!(planned.len() == 1 && planned[0].contains("web, whose protocol is QUIC"), "{planned:?}");
        assert_eq!(captured.as_deref(), Some(planned[0].as_str()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_ipv6_address_is_had_again_and_known_to_an_ipv6_group() {
    for six in [true, false] {
        let s = scene("six");
        s.bench.sim.edit_target_group(&s.group, |g| g.ip_type = Some("ipv6".to_owned()));
        s.bench.sim.edit_instance(&s.old, |i, _| i.settings.primary_six = six);
        let p = s.lost(&Value::Null).await;
        let done = s.apply(&p).await;
        assert_eq!(done.is_ok(), six, "{done:?}");
        let new = s.replacements().await.remove(0);
        assert_eq!((new.settings.primary_six, new.settings.addresses.len()), (six, usize::from(six)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_by_another_address_than_the_primary_one_is_refused_before_the_fault() {
    for (own, listed) in [("10.0.1.201", "10.0.1.201"), ("2001:db8::7", "2001:0db8:0:0:0:0:0:7")] {
        let (s, ip) = Scene::by_address("secondary");
        s.bench.sim.edit_instance(&s.old, |i, _| {
            i.addresses = vec![ip.clone(), own.to_owned()];
            i.settings.addresses = vec![own.to_owned()];
        });
        assert_eq!(refused(&s).await, (Vec::new(), None), "by its primary address alone");
        s.bench.sim.add_registration(&s.group, listed, 8080);
        let (planned, captured) = refused(&s).await;
        assert!(planned.len() == 1 && planned[0].contains(&format!("in pods by {listed}")), "{planned:?}");
        assert_eq!(captured.as_deref(), Some(planned[0].as_str()));
    }
}
