// go-metrics' OpenTSDB exporter: a registry flushed every 300 ms, a connection a flush.
package main

import (
	"log"
	"net"
	"os"
	"time"

	"github.com/rcrowley/go-metrics"
)

func main() {
	address, err := net.ResolveTCPAddr("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	registry := metrics.NewRegistry()
	metrics.GetOrRegisterCounter("jobs", registry).Inc(41)
	metrics.GetOrRegisterGauge("queue", registry).Update(17)
	metrics.GetOrRegisterGaugeFloat64("load", registry).Update(0.25)
	histogram := metrics.GetOrRegisterHistogram("sizes", registry, metrics.NewUniformSample(100))
	for size := int64(1); size <= 100; size++ {
		histogram.Update(size)
	}
	go metrics.OpenTSDB(registry, 300*time.Millisecond, "gometrics", address)
	time.Sleep(1500 * time.Millisecond)
}
