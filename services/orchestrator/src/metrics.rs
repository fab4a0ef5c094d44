//! The metrics of the orchestrator.

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// All of them.
pub(crate) struct Metrics {
    /// Cases opened, by kind.
    pub(crate) opened: IntCounterVec,
    /// Transitions, by the state entered.
    pub(crate) transitions: IntCounterVec,
    /// How long cases took to their last state, by kind and that state.
    pub(crate) resolution: HistogramVec,
    /// Incidents opened.
    pub(crate) incidents: IntCounter,
    /// Attempts of steps, by how they ended.
    pub(crate) attempts: IntCounterVec,
    /// Executions that wait for a place.
    pub(crate) queued: IntGauge,
    /// Executions in memory.
    pub(crate) live: IntGauge,
    /// Calls to peers under way.
    pub(crate) calls: IntGauge,
    /// Calls that wait for a place, by what for.
    pub(crate) calls_waiting: IntGaugeVec,
    /// How long what could be done has waited, by what it is.
    pub(crate) oldest_runnable: GaugeVec,
    /// Turns a commit carries.
    pub(crate) batch: Histogram,
    /// Cases that could not be read back.
    pub(crate) unreadable: IntCounter,
    /// Commits that failed.
    pub(crate) commit_failures: IntCounter,
    /// Writes of this replica that were refused because another had taken over.
    pub(crate) fenced: IntCounter,
    /// Executions started without a case.
    pub(crate) started: IntCounter,
    /// Executions that ended.
    pub(crate) ended: IntCounter,
    /// Tasks given to workers.
    pub(crate) tasks_taken: IntCounter,
    /// Leases of tasks that expired.
    pub(crate) leases_expired: IntCounter,
    /// Whether tasks go into the queue that replicas share.
    pub(crate) shared_queue: IntGauge,
    /// How often that queue had lost its memory.
    pub(crate) shared_queue_losses: IntCounter,
    /// Shards owned.
    pub(crate) shards: IntGauge,
    /// Open dead letters, by state.
    pub(crate) letters: IntGaugeVec,
    /// How long the oldest of them is open.
    pub(crate) oldest_letter: IntGauge,
    /// Finished dead letters deleted after their retention.
    pub(crate) letters_purged: IntCounter,
    /// Of schedules.
    pub(crate) schedules: ScheduleMetrics,
}

/// The metrics of schedules.
pub(crate) struct ScheduleMetrics {
    /// Runs, by what became of them.
    pub(crate) runs: IntCounterVec,
    /// How late their executions started.
    pub(crate) delay: Histogram,
}

impl ScheduleMetrics {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let delay = HistogramOpts::new(
            "schedule_delay_seconds",
            "How long after its time the execution of a run started",
        )
        .buckets(vec![0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3_600.0]);
        let metrics = Self {
            runs: counters(
                "schedule_runs_total",
                "Runs of schedules: started, refused by their definition, skipped for overlap, or missed",
                "outcome",
            )?,
            delay: Histogram::with_opts(delay)?,
        };
        registry.register(Box::new(metrics.runs.clone()))?;
        registry.register(Box::new(metrics.delay.clone()))?;
        Ok(metrics)
    }
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            opened: counters("orchestrator_cases_opened_total", "Cases opened", "kind")?,
            transitions: counters("orchestrator_case_transitions_total", "Transitions of cases", "to")?,
            resolution: resolution()?,
            incidents: IntCounter::new(
                "orchestrator_incidents_total",
                "Steps that needed a person to mend something",
            )?,
            attempts: counters("orchestrator_step_attempts_total", "Attempts of steps", "outcome")?,
            queued: IntGauge::new(
                "orchestrator_executions_queued",
                "Executions that wait because their definition limits how many run",
            )?,
            live: IntGauge::new("orchestrator_executions_in_memory", "Executions in memory")?,
            calls: IntGauge::new("orchestrator_calls_in_flight", "Calls to peers under way")?,
            calls_waiting: gauges(
                "orchestrator_calls_waiting",
                "Calls that wait: for the limit of their step, of their tenant, or for a free place",
                "for",
            )?,
            oldest_runnable: oldest_runnable()?,
            batch: batch()?,
            unreadable: IntCounter::new(
                "orchestrator_unreadable_cases_total",
                "Cases that could not be read back",
            )?,
            commit_failures: IntCounter::new("orchestrator_commit_failures_total", "Commits that failed")?,
            fenced: IntCounter::new(
                "orchestrator_fenced_commits_total",
                "Writes refused because another replica had taken over",
            )?,
            started: IntCounter::new(
                "orchestrator_executions_started_total",
                "Executions started without a case",
            )?,
            ended: IntCounter::new("orchestrator_executions_ended_total", "Executions that ended")?,
            tasks_taken: IntCounter::new("orchestrator_tasks_taken_total", "Tasks given to workers")?,
            leases_expired: IntCounter::new(
                "orchestrator_task_leases_expired_total",
                "Tasks whose workers gave no sign of life",
            )?,
            shared_queue: IntGauge::new(
                "orchestrator_shared_queue_up",
                "1 while tasks go into the queue that replicas share; 0 when each gives out its own",
            )?,
            shared_queue_losses: IntCounter::new(
                "orchestrator_shared_queue_losses_total",
                "Times the shared queue had lost its memory and was filled again",
            )?,
            shards: IntGauge::new("orchestrator_shards_owned", "Shards this replica owns, of 256")?,
            letters: gauges(
                "dead_letter_queue_depth",
                "Open dead letters of all tenants, as every replica counts them",
                "state",
            )?,
            oldest_letter: IntGauge::new(
                "dead_letter_oldest_age_seconds",
                "How long the oldest open dead letter waits; 0 when none is open",
            )?,
            letters_purged: IntCounter::new(
                "dead_letters_purged_total",
                "Finished dead letters deleted after their retention",
            )?,
            schedules: ScheduleMetrics::new(registry)?,
        };
        metrics.register(registry)?;
        Ok(metrics)
    }

    fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let counters = [
            &self.incidents,
            &self.unreadable,
            &self.commit_failures,
            &self.fenced,
            &self.started,
            &self.ended,
            &self.tasks_taken,
            &self.leases_expired,
            &self.shared_queue_losses,
            &self.letters_purged,
        ];
        counters.into_iter().try_for_each(|counter| registry.register(Box::new(counter.clone())))?;
        let gauges =
            [&self.live, &self.queued, &self.calls, &self.shared_queue, &self.shards, &self.oldest_letter];
        gauges.into_iter().try_for_each(|gauge| registry.register(Box::new(gauge.clone())))?;
        let counted = [&self.opened, &self.transitions, &self.attempts];
        counted.into_iter().try_for_each(|counter| registry.register(Box::new(counter.clone())))?;
        let measured = [&self.calls_waiting, &self.letters];
        measured.into_iter().try_for_each(|gauge| registry.register(Box::new(gauge.clone())))?;
        registry.register(Box::new(self.oldest_runnable.clone()))?;
        registry.register(Box::new(self.resolution.clone()))?;
        registry.register(Box::new(self.batch.clone()))
    }
}

fn batch() -> prometheus::Result<Histogram> {
    let options = HistogramOpts::new("orchestrator_commit_turns", "Turns that shared a commit");
    Histogram::with_opts(options.buckets(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]))
}

/// From what is decided by itself within a second to what people take weeks for.
fn resolution() -> prometheus::Result<HistogramVec> {
    let options = HistogramOpts::new(
        "orchestrator_case_resolution_seconds",
        "How long cases took from their opening to their last state",
    );
    let buckets =
        vec![0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3_600.0, 14_400.0, 86_400.0, 259_200.0, 604_800.0, 2_592_000.0];
    HistogramVec::new(options.buckets(buckets), &["kind", "state"])
}

fn oldest_runnable() -> prometheus::Result<GaugeVec> {
    GaugeVec::new(
        Opts::new(
            "orchestrator_oldest_runnable_seconds",
            "How long the oldest has waited that could be done: a timer that is due, a call without a free place, a task that no worker takes",
        ),
        &["kind"],
    )
}

fn counters(name: &str, help: &str, label: &str) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), &[label])
}

fn gauges(name: &str, help: &str, label: &str) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(name, help), &[label])
}
