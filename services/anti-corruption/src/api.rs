//! The RPCs of `probity.anticorruption.v1`.

use crate::config::Config;
use crate::convert::{self, Dispose, Import, Investigate};
use crate::domain::rates::Rates;
use crate::domain::{RULES, name};
use crate::error::Error;
use crate::investigate::Investigator;
use crate::metrics::Metrics;
use crate::screening::Screening;
use crate::store::{Request as Keyed, Store};
use probity_proto::anticorruption::anti_corruption_service_server::AntiCorruptionService;
use probity_proto::anticorruption::{
    FalsePositiveRates, Finding, GetFalsePositiveRatesRequest, ImportWatchlistRequest, InvestigateRequest,
    InvestigateResponse, ListDispositionsRequest, ListDispositionsResponse, ListFindingsRequest,
    ListFindingsResponse, ListRejectionsRequest, ListRejectionsResponse, ListRulesRequest, ListRulesResponse,
    ListWatchlistsRequest, ListWatchlistsResponse, ScreenNameRequest, ScreenNameResponse,
    SetDispositionRequest, Watchlist,
};
use probity_runtime::{Call as _, status};
use probity_types::{Clock, page};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service as tonic serves it.
pub(crate) struct Api {
    store: Store,
    investigator: Investigator,
    screening: Screening,
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Api {
    pub(crate) fn new(
        store: Store,
        investigator: Investigator,
        screening: Screening,
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        Self { store, investigator, screening, config, clock, metrics }
    }
}

fn answer<T>(result: Result<T, Error>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(status)
}

#[tonic::async_trait]
impl AntiCorruptionService for Api {
    async fn investigate(
        &self,
        request: Request<InvestigateRequest>,
    ) -> Result<Response<InvestigateResponse>, Status> {
        let caller = request.caller()?;
        let keyed =
            Keyed::new("Investigate", caller.ctx.clone(), request.idempotency_key(), request.get_ref());
        let work = Investigate::try_from(request.get_ref()).map_err(status)?;
        answer(self.investigator.run(&caller, keyed, work).await)
    }

    async fn list_findings(
        &self,
        request: Request<ListFindingsRequest>,
    ) -> Result<Response<ListFindingsResponse>, Status> {
        let message = request.get_ref();
        let case = convert::case("parent", &message.parent).map_err(status)?;
        let size = page::size(message.page_size).map_err(status)?;
        let tenant = &request.ctx()?.tenant;
        let page = self.store.findings(tenant, case, &message.page_token, size).await.map_err(status)?;
        Ok(Response::new(ListFindingsResponse {
            findings: page.items.iter().map(|finding| convert::finding(case, finding)).collect(),
            next_page_token: page.next,
            total_size: page.total,
        }))
    }

    async fn list_rejections(
        &self,
        request: Request<ListRejectionsRequest>,
    ) -> Result<Response<ListRejectionsResponse>, Status> {
        let message = request.get_ref();
        let case = convert::case("parent", &message.parent).map_err(status)?;
        let size = page::size(message.page_size).map_err(status)?;
        let tenant = &request.ctx()?.tenant;
        let page = self.store.rejections(tenant, case, &message.page_token, size).await.map_err(status)?;
        Ok(Response::new(ListRejectionsResponse {
            rejections: page.items.iter().map(convert::rejection).collect(),
            next_page_token: page.next,
            total_size: page.total,
        }))
    }

    async fn set_disposition(
        &self,
        request: Request<SetDispositionRequest>,
    ) -> Result<Response<Finding>, Status> {
        let keyed = Keyed::new(
            "SetDisposition",
            request.ctx()?.clone(),
            request.idempotency_key(),
            request.get_ref(),
        );
        let work = Dispose::try_from(request.get_ref()).map_err(status)?;
        let disposition = work.disposition;
        let disposed = self.store.dispose(keyed, work, self.clock.now()).await.map_err(status)?;
        if let Some(rule) = &disposed.changed {
            self.metrics.disposed(rule, disposition);
        }
        Ok(Response::new(disposed.finding))
    }

    async fn list_dispositions(
        &self,
        request: Request<ListDispositionsRequest>,
    ) -> Result<Response<ListDispositionsResponse>, Status> {
        let message = request.get_ref();
        let size = page::size(message.page_size).map_err(status)?;
        let tenant = &request.ctx()?.tenant;
        let page = self.store.dispositions(tenant, &message.filter, &message.page_token, size).await;
        let (dispositions, next_page_token) = page.map_err(status)?;
        Ok(Response::new(ListDispositionsResponse { dispositions, next_page_token }))
    }

    async fn get_false_positive_rates(
        &self,
        request: Request<GetFalsePositiveRatesRequest>,
    ) -> Result<Response<FalsePositiveRates>, Status> {
        let window = convert::window(request.get_ref(), self.clock.now()).map_err(status)?;
        let tenant = &request.ctx()?.tenant;
        let counts = self.store.disposition_counts(tenant, window.0, window.1).await.map_err(status)?;
        let said =
            counts.iter().filter_map(|c| Some((c.rule.as_str(), convert::said(c.disposition)?, c.count)));
        Ok(Response::new(convert::rates(&Rates::of(said), window)))
    }

    async fn list_rules(&self, _: Request<ListRulesRequest>) -> Result<Response<ListRulesResponse>, Status> {
        let mut rules: Vec<_> = RULES.iter().map(|rule| convert::rule(rule, &self.config.rules)).collect();
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Response::new(ListRulesResponse { rules }))
    }

    async fn screen_name(
        &self,
        request: Request<ScreenNameRequest>,
    ) -> Result<Response<ScreenNameResponse>, Status> {
        let tenant = &request.ctx()?.tenant;
        let screened = convert::name(request.get_ref()).map_err(status)?;
        let index = self.screening.index(tenant).await.map_err(status)?;
        let hits: Vec<_> = index.search(screened).iter().map(convert::hit).collect();
        self.screening.count(index.lists(), hits.len());
        let lists_searched = i32::try_from(index.lists()).unwrap_or(i32::MAX);
        Ok(Response::new(ScreenNameResponse { hits, normalized: name::normalize(screened), lists_searched }))
    }

    async fn import_watchlist(
        &self,
        request: Request<ImportWatchlistRequest>,
    ) -> Result<Response<Watchlist>, Status> {
        let caller = request.caller()?;
        let keyed =
            Keyed::new("ImportWatchlist", caller.ctx.clone(), request.idempotency_key(), request.get_ref());
        let work = Import::try_from(request.get_ref()).map_err(status)?;
        answer(self.screening.import(&caller, keyed, work).await)
    }

    async fn list_watchlists(
        &self,
        request: Request<ListWatchlistsRequest>,
    ) -> Result<Response<ListWatchlistsResponse>, Status> {
        let lists = self.store.watchlists(&request.ctx()?.tenant).await.map_err(status)?;
        Ok(Response::new(ListWatchlistsResponse {
            watchlists: lists.iter().map(convert::watchlist).collect(),
        }))
    }
}
