//! The RPCs: decode, hand on, encode.

mod cases;
mod dead_letters;
mod end;
mod executions;
mod forward;
mod history;
mod remediation;
mod schedules;
mod tasks;
mod worker;
mod workflows;

pub(crate) use cases::Cases;
pub(crate) use dead_letters::DeadLetters;
pub(crate) use executions::Executions;
pub(crate) use forward::Forward;
pub(crate) use remediation::Remediation;
pub(crate) use schedules::Schedules;
pub(crate) use tasks::Tasks;
pub(crate) use worker::Workers;
pub(crate) use workflows::Workflows;

use crate::error::Error;
use probity_proto::orchestrator::Case;
use probity_types::{Ctx, Role};

/// A submitter sees the cases it opened; everybody else of the tenant sees all.
/// What is not seen answers like what does not exist.
fn visible(ctx: &Ctx, case: Case) -> Result<Case, Error> {
    let sees_all = ctx.roles.any_of(&[Role::Officer, Role::Auditor, Role::Operator]);
    if sees_all || case.owner == ctx.actor { Ok(case) } else { Err(Error::NoCase(case.name)) }
}
