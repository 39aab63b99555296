// bluebreezecf's client of OpenTSDB, from Debian's sources: puts, queries, names, annotations; tells what it saw as JSON.
package main

import (
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/bluebreezecf/opentsdb-goclient/client"
	"github.com/bluebreezecf/opentsdb-goclient/config"
)

const startS = 1_700_000_000

func main() {
	tsdb, err := client.NewClient(config.OpenTSDBConfig{OpentsdbHost: os.Args[1]})
	check(err)
	check(tsdb.Ping())
	seen := map[string]any{}
	put(tsdb, seen)
	ask(tsdb, seen)
	names(tsdb, seen)
	annotate(tsdb, seen)
	check(json.NewEncoder(os.Stdout).Encode(seen))
}

func put(tsdb client.Client, seen map[string]any) {
	var points []client.DataPoint
	for step := 0; step < 60; step++ {
		for number, host := range []string{"web01", "web02"} {
			points = append(points, client.DataPoint{
				Metric: "goclient.load", Timestamp: int64(startS + step), Value: float64(step) * (0.5 + float64(number)),
				Tags: map[string]string{"host": host},
			})
		}
	}
	details, err := tsdb.Put(points, client.PutRespWithDetails)
	check(err)
	seen["details"] = []int64{details.Success, details.Failed}
	one := points[:1]
	one[0].Metric = "goclient.single"
	summary, err := tsdb.Put(one, client.PutRespWithSummary)
	check(err)
	seen["summary"] = []int64{summary.Success, summary.Failed}
	one[0].Value = "not a number"
	_, err = tsdb.Put(one, client.PutRespWithDetails)
	seen["refused"] = err.Error()
}

func ask(tsdb client.Client, seen map[string]any) {
	answer, err := tsdb.Query(client.QueryParam{
		Start: int64(startS), End: int64(startS + 60),
		Queries: []client.SubQuery{{
			Aggregator: "sum", Metric: "goclient.load", Downsample: "10s-sum", Tags: map[string]string{"host": "*"},
		}},
	})
	check(err)
	sums := map[string]float64{}
	for _, series := range answer.QueryRespCnts {
		for _, value := range series.Dps {
			sums[series.Tags["host"]] += value.(float64)
		}
	}
	seen["sums"] = sums
	tags := map[string]string{"host": "web01"}
	now := client.DataPoint{Metric: "goclient.now", Timestamp: time.Now().Unix(), Value: 29.5, Tags: tags}
	_, err = tsdb.Put([]client.DataPoint{now}, client.PutRespWithSummary)
	check(err)
	last, err := tsdb.QueryLast(client.QueryLastParam{
		Queries:      []client.SubQueryLast{{Metric: "goclient.now", Tags: tags}},
		ResolveNames: true,
	})
	check(err)
	seen["last"] = last.QueryRespCnts
}

func names(tsdb client.Client, seen map[string]any) {
	suggested, err := tsdb.Suggest(client.SuggestParam{Type: client.TypeMetrics, Q: "goclient", MaxResultNum: 10})
	check(err)
	seen["suggested"] = suggested.ResultInfo
	version, err := tsdb.Version()
	check(err)
	seen["version"] = version.VersionInfo["version"]
	aggregators, err := tsdb.Aggregators()
	check(err)
	seen["aggregators"] = len(aggregators.Aggregators)
	_, err = tsdb.Config()
	check(err)
	_, err = tsdb.Stats()
	check(err)
	_, err = tsdb.Dropcaches()
	check(err)
}

func annotate(tsdb client.Client, seen map[string]any) {
	note := client.Annotation{StartTime: startS, Description: "deployed", Custom: map[string]string{"by": "goclient"}}
	_, err := tsdb.UpdateAnnotation(note)
	check(err)
	read, err := tsdb.QueryAnnotation(map[string]any{client.AnQueryStartTime: int64(startS)})
	check(err)
	seen["annotation"] = read.Description
	deleted, err := tsdb.DeleteAnnotation(note)
	check(err)
	seen["deleted"] = deleted.StatusCode
}

func check(err error) {
	if err != nil {
		log.Output(2, err.Error())
		os.Exit(1)
	}
}
