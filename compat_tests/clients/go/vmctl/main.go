// vmctl's reader of OpenTSDB, as a migration runs it: names, series of each, the points of each series.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strconv"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmctl/opentsdb"
)

// Found is what a migration would have copied of one series.
type Found struct {
	Metric string
	Tags   map[string]string
	Points map[string]float64
}

func main() {
	address, end := os.Args[1], os.Args[2]
	last, err := strconv.ParseInt(end, 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	client, err := opentsdb.NewClient(opentsdb.Config{
		Addr: address, Limit: 1000, HardTS: last, Retentions: []string{"sum-1m-avg:1h:1d"}, Filters: []string{"vmctl."},
		Transport: &http.Transport{},
	})
	if err != nil {
		log.Fatal(err)
	}
	var found []Found
	for _, filter := range client.Filters {
		names, err := client.FindMetrics(address + "/api/suggest?type=metrics&q=" + filter + "&max=1000")
		if err != nil {
			log.Fatal(err)
		}
		for _, name := range names {
			found = append(found, read(client, name, last)...)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		log.Fatal(err)
	}
}

func read(client *opentsdb.Client, name string, last int64) []Found {
	series, err := client.FindSeries(name)
	if err != nil {
		log.Fatal(err)
	}
	var found []Found
	for _, one := range series {
		points := map[string]float64{}
		for _, retention := range client.Retentions {
			meta := opentsdb.RetentionMeta{
				FirstOrder: retention.FirstOrder, SecondOrder: retention.SecondOrder, AggTime: retention.AggTime,
			}
			for _, part := range retention.QueryRanges {
				data, err := client.GetData(one, meta, last-part.Start, last-part.End, false)
				if err != nil {
					log.Fatal(err)
				}
				for index, at := range data.Timestamps {
					points[strconv.FormatInt(at, 10)] = data.Values[index]
				}
			}
		}
		found = append(found, Found{Metric: one.Metric, Tags: one.Tags, Points: points})
	}
	return found
}
