//! Masters that come and go, and registering with them.

use std::time::Duration;

use client_core::Backoff;
use machine::Now;
use proto::mesos::v1::scheduler::call::Type;
use proto::mesos::{scheduler, v1};
use types::Pid;

use super::{Callback, Driver, Effect, Outgoing, Phase};

/// The longest wait between two registrations.
const REGISTRATION_RETRY_INTERVAL_MAX: Duration = Duration::from_secs(60);

impl Driver {
    pub(super) fn on_detected(
        &mut self,
        now: Now,
        master: Option<Box<v1::MasterInfo>>,
        fx: &mut Vec<Effect>,
    ) {
        if self.is_over() {
            return;
        }
        if self.connected().is_some() {
            // COMPAT(mesos): also if the same master was elected again.
            fx.push(Effect::Callback(Callback::Disconnected));
            self.forget();
        }
        let Some(info) = master else {
            fx.push(Effect::Info("No master detected".to_owned()));
            self.phase = Phase::Away;
            return;
        };
        let Ok(pid) = info.pid().parse::<Pid>() else {
            fx.push(Effect::Warn(format!("Ignoring a master without an address: '{}'", info.pid())));
            self.phase = Phase::Away;
            return;
        };
        fx.push(Effect::Info(format!("New master detected at {pid}")));
        self.register(now, pid, fx);
    }

    /// The link to the master broke. Unless the detector names another, it is asked again when it is back.
    ///
    /// Apache Mesos's driver does not watch the link, and stays registered with a master that has forgotten it.
    pub(super) fn on_exited(&mut self, now: Now, pid: &Pid, fx: &mut Vec<Effect>) {
        let Phase::Connected { leader } = &self.phase else { return };
        if *leader != *pid {
            return;
        }
        let leader = leader.clone();
        fx.push(Effect::Info(format!("The link to the master at {pid} broke")));
        fx.push(Effect::Callback(Callback::Disconnected));
        self.forget();
        let mut backoff = self.backoff();
        let next = now.mono + backoff.draw(&mut self.rng);
        self.phase = Phase::Registering { leader, backoff, next };
    }

    /// What a master said is void once it is not asked any more.
    fn forget(&mut self) {
        self.offers.clear();
    }

    fn register(&mut self, now: Now, leader: Pid, fx: &mut Vec<Effect>) {
        self.phase = Phase::Registering { leader, backoff: self.backoff(), next: now.mono };
        self.subscribe(now, fx);
    }

    /// Asks the leader, and sees to it that it is asked again.
    pub(super) fn subscribe(&mut self, now: Now, fx: &mut Vec<Effect>) {
        let mut call = self.call(Type::Subscribe);
        call.subscribe = Some(scheduler::call::Subscribe {
            framework_info: self.framework.clone(),
            force: self.id().map(|_| self.failover),
            suppressed_roles: self.suppressed_roles.iter().cloned().collect(),
            offer_constraints: self.offer_constraints.clone(),
        });
        let Phase::Registering { leader, backoff, next } = &mut self.phase else { return };
        // ORDER: the connection of the link is the one that the call goes over.
        fx.push(Effect::Link(leader.clone()));
        fx.push(Effect::Send { to: leader.clone(), message: Outgoing::Call(Box::new(call)) });
        *next = now.mono + backoff.draw(&mut self.rng);
    }

    fn backoff(&self) -> Backoff {
        let timeout = self.framework.failover_timeout.map(Duration::try_from_secs_f64);
        // A framework that is soon given up must be back before that.
        let most = match timeout {
            Some(Ok(timeout)) if !timeout.is_zero() => REGISTRATION_RETRY_INTERVAL_MAX.min(timeout / 10),
            Some(Ok(_) | Err(_)) | None => REGISTRATION_RETRY_INTERVAL_MAX,
        };
        Backoff::new(self.registration_backoff, most)
    }

    /// The master knows this driver. The callback is still to come.
    pub(super) fn connect(&mut self, leader: Pid, fx: &mut Vec<Effect>) {
        self.phase = Phase::Connected { leader };
        self.failover = false;
        if std::mem::take(&mut self.tells_framework) {
            self.tell_framework(fx);
        }
    }

    /// Tells the master of the framework's description and roles as they are now.
    pub(super) fn tell_framework(&mut self, fx: &mut Vec<Effect>) {
        let Some(leader) = self.connected() else {
            self.tells_framework = true;
            return;
        };
        let mut call = self.call(Type::UpdateFramework);
        call.update_framework = Some(v1::scheduler::call::UpdateFramework {
            framework_info: self.framework.clone(),
            suppressed_roles: self.suppressed_roles.iter().cloned().collect(),
            offer_constraints: self.offer_constraints.clone(),
        });
        fx.push(Effect::Send { to: leader.clone(), message: Outgoing::Call(Box::new(call)) });
    }
}
