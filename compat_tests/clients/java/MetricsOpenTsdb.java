import com.codahale.metrics.Gauge;
import com.codahale.metrics.MetricRegistry;
import com.github.sps.metrics.OpenTsdbReporter;
import com.github.sps.metrics.opentsdb.OpenTsdb;
import com.github.sps.metrics.opentsdb.OpenTsdbMetric;
import com.github.sps.metrics.opentsdb.OpenTsdbTelnet;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;

/** metrics-opentsdb sends a set of points in batches by HTTP (plain or gzip) or telnet, then reports a registry once. */
public class MetricsOpenTsdb {
    private static final long START_S = 1_700_000_000L;

    public static void main(String[] arguments) throws Exception {
        String way = arguments[0];
        OpenTsdb client = client(way, arguments[1], Integer.parseInt(arguments[2]));
        client.setBatchSizeLimit(5);
        client.send(points("java_metrics." + way, 23));
        MetricRegistry registry = new MetricRegistry();
        registry.counter("jobs").inc(11);
        registry.register("depth", (Gauge<Integer>) () -> 5);
        registry.histogram("sizes").update(100);
        OpenTsdbReporter.forRegistry(registry).prefixedWith("java_reporter." + way)
            .withTags(Map.of("host", "web01")).build(client).report();
        Thread.sleep(1500); // it sends in the background and has no way to wait
        System.exit(0);
    }

    private static Set<OpenTsdbMetric> points(String name, int count) {
        Set<OpenTsdbMetric> points = new LinkedHashSet<>();
        for (int step = 0; step < count; step++) {
            points.add(OpenTsdbMetric.named(name).withTimestamp(START_S + step)
                .withValue(step * 0.5).withTags(Map.of("host", "web01")).build());
        }
        return points;
    }

    private static OpenTsdb client(String way, String host, int port) {
        if (way.equals("telnet")) {
            return OpenTsdbTelnet.forService(host, port).create();
        }
        return OpenTsdb.forService("http://" + host + ":" + port).withGzipEnabled(way.equals("gzip")).create();
    }
}
