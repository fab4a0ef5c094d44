//! An execution with the results of another.

use super::{Error, Fork, Lane, Live, Work};
use probity_engine::{Execution, Opening, What};

impl Lane {
    pub(super) async fn fork(&mut self, fork: Fork, work: &mut Work) {
        let Fork { reply, scope, .. } = &fork;
        let scope = scope.clone();
        match self.forked(&fork).await {
            Ok((live, turn)) => {
                let (id, now) = (live.id, live.created);
                self.begin_turn(live, turn, &fork.ctx, now, work);
                work.open(id, scope, fork.reply);
            }
            Err(error) if !reply.is_closed() => {
                let _ = fork.reply.send(Err(error));
            }
            Err(_) => {}
        }
    }

    async fn forked(&self, fork: &Fork) -> Result<(Live, probity_engine::Turn), Error> {
        let read;
        let source = match self.live.get(&fork.source) {
            Some(live) => live,
            None => {
                read = Live::read(&self.parts.store, &self.parts.definitions, fork.source).await?;
                &read
            }
        };
        if source.tenant != fork.ctx.tenant {
            return Err(Error::NoExecution(fork.source.to_string()));
        }
        if source.is_case() {
            let why = "a case cannot be branched off: open another one with its documents";
            return Err(Error::WrongDefinition(why.to_owned()));
        }
        let input = fork.input.clone().unwrap_or_else(|| source.execution.opening.input.clone());
        source.execution.definition.check_input(&input).map_err(|errors| {
            Error::Input(errors.into_iter().map(|error| (error.pointer, error.message)).collect())
        })?;
        self.has_shards()?;
        let opening = Opening {
            name: String::new(),
            what: What::Plain,
            input,
            owner: fork.ctx.actor.clone(),
            owner_roles: fork.ctx.roles.clone(),
            parent: None,
            ..source.execution.opening.clone()
        };
        let id = self.new_id(&source.tenant, &source.execution.definition, &opening)?;
        let opening = Opening { name: format!("executions/{id}"), ..opening };
        let now = self.parts.clock.now();
        let (execution, turn): (Execution, _) = source.execution.fork(&fork.step, opening, now)?;
        Ok((Live::of(id, execution, &fork.ctx, now), turn))
    }
}
