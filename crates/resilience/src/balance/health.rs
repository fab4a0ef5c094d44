//! Following the health of an endpoint by `grpc.health.v1.Health/Watch`.

use crate::retry::{Jitter, Policy};
use probity_proto::BoxGrpcService;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Waits between attempts to watch an endpoint that is away.
const AGAIN: Policy = Policy {
    base: Duration::from_millis(250),
    cap: Duration::from_secs(10),
    jitter: Jitter::Full,
    max_total: None,
    ..Policy::AGGRESSIVE
};

/// Follows what an endpoint says about a service (empty for the whole server),
/// until `stop`; calls back with each change, the first time at once. An endpoint
/// that cannot be asked is not serving; one that has no health service is taken
/// as serving, as gRPC clients do.
pub async fn watch_health(
    endpoint: BoxGrpcService,
    service: String,
    stop: CancellationToken,
    mut on_change: impl FnMut(bool) + Send,
) {
    let mut told = None;
    let mut tell = |serving: bool| {
        if told.replace(serving) != Some(serving) {
            on_change(serving);
        }
    };
    let (mut failed, mut rng) = (0, fastrand::Rng::new());
    while !stop.is_cancelled() {
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = follow(endpoint.clone(), &service, |serving| { failed = 0; tell(serving) }) => ended,
        };
        if ended.code() == Code::Unimplemented {
            tell(true);
            return;
        }
        tell(false);
        failed += 1;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN.delay(failed, &mut rng)) => {}
        }
    }
}

/// Follows one stream to its end.
async fn follow(endpoint: BoxGrpcService, service: &str, mut tell: impl FnMut(bool)) -> Status {
    let request = HealthCheckRequest { service: service.to_owned() };
    let mut stream = match HealthClient::new(endpoint).watch(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return status,
    };
    loop {
        match stream.message().await {
            Ok(Some(said)) => tell(said.status() == ServingStatus::Serving),
            Ok(None) => return Status::unavailable("the health stream ended"),
            Err(status) => return status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use probity_proto::boxed;
    use std::sync::Arc;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn changes_are_told_as_they_come() {
        let (reporter, server) = tonic_health::server::health_reporter();
        let (send, mut changes) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let watching =
            tokio::spawn(watch_health(boxed("peer", server), String::new(), stop.clone(), move |serving| {
                send.try_send(serving).unwrap();
            }));
        assert_eq!(changes.recv().await, Some(true));
        reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        assert_eq!(changes.recv().await, Some(false));
        reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
        assert_eq!(changes.recv().await, Some(true));
        stop.cancel();
        watching.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_away_does_not_serve_and_who_knows_no_health_does() {
        let check = async |code: Code, expect: &[bool]| {
            let peer = tower::service_fn(move |_request: http::Request<tonic::body::Body>| async move {
                Ok(Status::new(code, "no").into_http())
            });
            let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
            let log = seen.clone();
            let watching =
                watch_health(BoxGrpcService::new(peer), "s".into(), stop, move |s| log.lock().push(s));
            let _ = tokio::time::timeout(Duration::from_secs(60), watching).await;
            assert_eq!(*seen.lock(), expect, "{code:?}");
        };
        check(Code::Unavailable, &[false]).await;
        check(Code::Unimplemented, &[true]).await;
    }
}
