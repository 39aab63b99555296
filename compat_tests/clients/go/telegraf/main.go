// Telegraf's OpenTSDB output, by HTTP and by telnet lines: 130 metrics of two fields each.
package main

import (
	"log"
	"os"
	"strconv"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/plugins/outputs/opentsdb"
)

func main() {
	scheme, host := os.Args[1], os.Args[2]
	port, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	output := &opentsdb.OpenTSDB{
		Prefix: "telegraf.", Host: scheme + "://" + host, Port: port, HTTPBatchSize: 50, HTTPPath: "/api/put", Separator: "_",
	}
	if err := output.Connect(); err != nil {
		log.Fatal(err)
	}
	if err := output.Write(metrics(scheme)); err != nil {
		log.Fatal(err)
	}
	if err := output.Close(); err != nil {
		log.Fatal(err)
	}
}

func metrics(scheme string) []telegraf.Metric {
	var all []telegraf.Metric
	for step := 0; step < 130; step++ {
		at := time.Unix(1_700_000_000+int64(step), 0)
		tags := map[string]string{"host": "web01", "mount": "/var lib"}
		fields := map[string]interface{}{"used": int64(step), "ratio": float64(step) / 8}
		all = append(all, metric.New("disk."+scheme, tags, fields, at))
	}
	return all
}
