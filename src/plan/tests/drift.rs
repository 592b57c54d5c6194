//! Another resource under the same name is not the one that was planned for.

use super::*;
use crate::inventory::CREATED;

#[tokio::test(start_paused = true)]
async fn a_target_that_was_made_anew_is_refused() {
    let mut plan = planned(&edited(&[])).await;
    let told = |plan: &Plan, now: Vec<Option<Target>>| -> Vec<String> {
        crate::plan::drift::compare(plan, &now, &plan.account, plan.world, None)
            .into_iter()
            .map(|f| f.text)
            .collect()
    };
    let created = |plan: &Plan, at: &str| {
        let mut now = crate::plan::drift::targets(plan);
        now[0].attrs.insert(CREATED.to_owned(), at.to_owned());
        now.into_iter().map(Some).collect::<Vec<_>>()
    };
    assert_eq!(told(&plan, created(&plan, "today")), [""; 0], "the plan does not say when it was made");
    let first = &mut plan.targets.get_mut("web").unwrap().drawn[0];
    first.attrs.insert(CREATED.to_owned(), "yesterday".to_owned());
    assert_eq!(told(&plan, created(&plan, "yesterday")), [""; 0]);
    let another = "another resource has its name now: it was created today, the planned one yesterday";
    assert_eq!(told(&plan, created(&plan, "today")), [another]);
}
