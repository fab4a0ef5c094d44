//! What can be read of executions.

use super::Executions;
use crate::api::history;
use crate::convert;
use crate::error::Error;
use crate::lane;
use crate::store::GroupBy;
use probity_engine::render;
use probity_proto::orchestrator::{
    CountExecutionsRequest, CountExecutionsResponse, ListExecutionHistoryRequest, ListExecutionsRequest,
    ListExecutionsResponse, ListHistoryResponse, Picture, RenderExecutionRequest, RenderExecutionResponse,
};
use probity_types::Ctx;

impl Executions {
    pub(super) async fn list(
        &self,
        ctx: &Ctx,
        request: &ListExecutionsRequest,
    ) -> Result<ListExecutionsResponse, Error> {
        let limit = convert::page_size(request.page_size)?;
        let before = convert::id_token(&request.page_token)?;
        let found = self.store.executions(&ctx.tenant, &request.filter, before, limit).await?;
        let full = i64::try_from(found.len()).unwrap_or(0) == limit;
        let next = found.last().filter(|_| full).map_or_else(String::new, |(id, _)| id.to_string());
        let executions = found.into_iter().map(|(id, view)| convert::listed(id, view)).collect();
        Ok(ListExecutionsResponse { executions, next_page_token: next })
    }

    pub(super) async fn count(
        &self,
        ctx: &Ctx,
        request: &CountExecutionsRequest,
    ) -> Result<CountExecutionsResponse, Error> {
        let by = match request.group_by.as_str() {
            "" => None,
            name => Some(GroupBy::named(name).ok_or_else(|| {
                convert::invalid("group_by", "must be one of status, definition, priority")
            })?),
        };
        let (total, groups) = self.store.count_executions(&ctx.tenant, &request.filter, by).await?;
        Ok(CountExecutionsResponse { total, groups })
    }

    pub(super) async fn render(
        &self,
        ctx: &Ctx,
        request: &RenderExecutionRequest,
    ) -> Result<RenderExecutionResponse, Error> {
        let id = convert::execution_id("name", &request.name)?;
        self.store.view(&ctx.tenant, id).await?;
        let (live, facts) = lane::read_with_facts(&self.store, &self.definitions, id).await?;
        let (definition, execution) = (&live.execution.definition, &live.execution);
        let (media_type, content) = match request.picture() {
            Picture::GanttSvg => ("image/svg+xml", render::gantt_svg(execution, &facts, self.clock.now())),
            Picture::Dot => ("text/vnd.graphviz", render::dot(definition, Some(execution))),
            Picture::Mermaid => ("text/vnd.mermaid", render::mermaid(definition, Some(execution))),
            Picture::Unspecified => {
                let why = "must be one of PICTURE_GANTT_SVG, PICTURE_DOT, PICTURE_MERMAID";
                return Err(convert::invalid("picture", why));
            }
        };
        Ok(RenderExecutionResponse { media_type: media_type.to_owned(), content })
    }

    pub(super) async fn history(
        &self,
        ctx: &Ctx,
        request: &ListExecutionHistoryRequest,
    ) -> Result<ListHistoryResponse, Error> {
        let id = self.seen(ctx, "parent", &request.parent).await?;
        history::page(&self.store, id, request.page_size, &request.page_token).await
    }
}
