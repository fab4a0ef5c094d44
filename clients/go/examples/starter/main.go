// Starts `screening` and prints its result: PROBITY_TOKEN=… go run ./examples/starter SUPPLIER [HOST:PORT]
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"
	pb "probity.example/client/gen/probity/orchestrator/v1"
)

func main() {
	supplier, server := os.Args[1], append(os.Args[2:], "127.0.0.1:8080")[0]
	channel, err := grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 45*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+os.Getenv("PROBITY_TOKEN"))
	input, _ := json.Marshal(map[string]string{"supplier": supplier})
	done, err := pb.NewExecutionServiceClient(channel).StartExecution(ctx, &pb.StartExecutionRequest{
		Definition: "definitions/screening",
		Input:      input,
		RequestId:  fmt.Sprint(time.Now().UnixNano()), // the same for every attempt of this start
		Wait:       durationpb.New(30 * time.Second),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(done.Name, done.Status, string(done.Output))
}
