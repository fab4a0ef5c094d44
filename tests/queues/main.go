// The jobs of `make bench-queue` on asynq: bench-asynq PORT JOBS CONCURRENCY
// Prints seconds as JSON: how long putting in took, and how long the work.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	jobs, err := strconv.Atoi(os.Args[2])
	must(err)
	concurrency, err := strconv.Atoi(os.Args[3])
	must(err)
	redis := asynq.RedisClientOpt{Addr: "127.0.0.1:" + os.Args[1]}

	client := asynq.NewClient(redis)
	defer client.Close()
	begun := time.Now()
	var group sync.WaitGroup
	for part := range 16 {
		group.Add(1)
		go func() {
			defer group.Done()
			for number := part; number < jobs; number += 16 {
				_, err := client.Enqueue(asynq.NewTask("noop", []byte("{}")))
				must(err)
			}
		}()
	}
	group.Wait()
	enqueue := time.Since(begun).Seconds()

	var done atomic.Int64
	all := make(chan struct{})
	server := asynq.NewServer(redis, asynq.Config{Concurrency: concurrency, LogLevel: asynq.FatalLevel})
	mux := asynq.NewServeMux()
	mux.HandleFunc("noop", func(context.Context, *asynq.Task) error {
		if done.Add(1) == int64(jobs) {
			close(all)
		}
		return nil
	})
	begun = time.Now()
	must(server.Start(mux))
	<-all
	process := time.Since(begun).Seconds()
	server.Shutdown()
	must(json.NewEncoder(os.Stdout).Encode(map[string]float64{"enqueue_s": enqueue, "process_s": process}))
}
