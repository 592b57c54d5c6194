//! How long things take in the simulator. Pure data.

use crate::model::Dur;

/// The durations of the simulated account. [`Pace::default`] has those that AWS really takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Answering a read.
    pub read_latency: Dur,
    /// Answering a change; half of it passes before the change is made, half after.
    pub change_latency: Dur,
    /// Until a new instance or route table is found by its id.
    pub consistency: Dur,
    /// `pending` of an instance.
    pub instance_start: Dur,
    /// `stopping`.
    pub instance_stop: Dur,
    /// `shutting-down`.
    pub instance_terminate: Dur,
    /// From `terminated` until subnet, groups and addresses are gone from the description.
    pub instance_strip: Dur,
    /// From `terminated` until the instance is gone from listings.
    pub instance_forget: Dur,
    /// Until an Auto Scaling group replaces a member that is gone or unhealthy.
    pub group_replace: Dur,
    /// Until a registered, running target is `healthy`.
    pub target_healthy: Dur,
    /// From `running` until the status checks are `ok`.
    pub status_checks: Dur,
    /// From a target's termination until its registration is gone.
    pub target_drain: Dur,
    /// `creating` of a restored database.
    pub db_create: Dur,
    /// `backing-up` after it.
    pub db_backup: Dur,
    /// Until an accepted reboot shows.
    pub db_reboot_begins: Dur,
    /// `rebooting` without failover.
    pub db_reboot: Dur,
    /// `rebooting` with failover; the zone changes half-way.
    pub db_failover: Dur,
    /// `deleting`.
    pub db_delete: Dur,
    /// Until an accepted change shows as `modifying`: the database stays `available` meanwhile.
    pub db_modify_begins: Dur,
    /// `modifying`.
    pub db_modify: Dur,
    /// Until a changed deletion protection shows; the status stays as it is.
    pub db_protect: Dur,
    /// How far the latest restorable time lags.
    pub db_restorable_lag: Dur,
    /// `InProgress` of an invalidation.
    pub invalidation: Dur,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            read_latency: Dur::secs(0),
            change_latency: Dur::secs(0),
            consistency: Dur::secs(1),
            instance_start: Dur::secs(25),
            instance_stop: Dur::secs(45),
            instance_terminate: Dur::secs(40),
            instance_strip: Dur::secs(60),
            instance_forget: Dur::hours(1),
            group_replace: Dur::secs(60),
            target_healthy: Dur::secs(30),
            status_checks: Dur::mins(2),
            target_drain: Dur::mins(5),
            db_create: Dur::mins(22),
            db_backup: Dur::mins(3),
            db_reboot_begins: Dur::secs(0),
            db_reboot: Dur::secs(60),
            db_failover: Dur::secs(90),
            db_delete: Dur::mins(6),
            db_modify_begins: Dur::secs(30),
            db_modify: Dur::mins(5),
            db_protect: Dur::secs(5),
            db_restorable_lag: Dur::mins(5),
            invalidation: Dur::mins(4),
        }
    }
}

impl Pace {
    /// AWS's durations, and answers that take as long as AWS's: for rehearsals on a virtual clock.
    pub fn rehearsal() -> Self {
        let ms = |n| Dur(std::time::Duration::from_millis(n));
        Self { read_latency: ms(80), change_latency: ms(300), ..Self::default() }
    }

    /// Everything is done by the next read; only what is gone from AWS by design stays so
    /// (restorable times lag by five minutes, terminated instances are forgotten after an hour).
    pub fn instant() -> Self {
        let zero = Dur::secs(0);
        Self {
            consistency: zero,
            instance_start: zero,
            instance_stop: zero,
            instance_terminate: zero,
            instance_strip: Dur::secs(60),
            group_replace: zero,
            target_healthy: zero,
            status_checks: zero,
            target_drain: zero,
            db_create: zero,
            db_backup: zero,
            db_reboot: zero,
            db_failover: zero,
            db_delete: zero,
            db_modify_begins: zero,
            db_modify: zero,
            db_protect: zero,
            invalidation: zero,
            ..Self::default()
        }
    }
}
