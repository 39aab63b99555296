import com.google.gson.Gson;
import java.util.ArrayList;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.kairosdb.client.HttpClient;
import org.kairosdb.client.TelnetClient;
import org.kairosdb.client.builder.AggregatorFactory;
import org.kairosdb.client.builder.DataPoint;
import org.kairosdb.client.builder.Metric;
import org.kairosdb.client.builder.MetricBuilder;
import org.kairosdb.client.builder.QueryBuilder;
import org.kairosdb.client.builder.QueryMetric;
import org.kairosdb.client.builder.QueryTagBuilder;
import org.kairosdb.client.builder.RelativeTime;
import org.kairosdb.client.builder.RollupBuilder;
import org.kairosdb.client.builder.RollupTask;
import org.kairosdb.client.builder.TimeUnit;
import org.kairosdb.client.builder.grouper.TagGrouper;
import org.kairosdb.client.response.QueryResult;
import org.kairosdb.client.response.Result;

/** KairosDB's official Java client: writes by HTTP and telnet, reads, rolls up, deletes; tells what it saw as JSON. */
public class KairosClient {
    private static final long START_MS = 1_700_000_000_000L;
    private static final int STEPS = 120;
    private final Map<String, Object> seen = new LinkedHashMap<>();
    private final HttpClient http;

    private KairosClient(String url) throws Exception {
        http = new HttpClient(url);
    }

    public static void main(String[] arguments) throws Exception {
        KairosClient client = new KairosClient(arguments[0]);
        client.push("java.plain", false);
        client.push("java.gzip", true);
        client.telnet(arguments[1], Integer.parseInt(arguments[2]));
        client.ask();
        client.names();
        client.rollups();
        client.deletes();
        client.http.close();
        System.out.println(new Gson().toJson(client.seen));
    }

    private void push(String name, boolean compressed) {
        MetricBuilder builder = MetricBuilder.getInstance();
        builder.setCompression(compressed);
        for (String host : new String[] {"web01", "web02"}) {
            Metric metric = builder.addMetric(name).addTag("host", host).addTag("dc", "eu");
            for (int step = 0; step < STEPS; step++) {
                metric.addDataPoint(START_MS + step * 1000L, host.equals("web01") ? step : step * 2);
            }
        }
        builder.addMetric(name + ".double").addTag("host", "web01").addTtl(0).addDataPoint(START_MS, 0.1);
        builder.addMetric(name + ".text", "string").addTag("host", "web01").addDataPoint(START_MS, "späte Züge");
        http.pushMetrics(builder);
    }

    private void telnet(String host, int port) throws Exception {
        TelnetClient telnet = new TelnetClient(host, port);
        MetricBuilder seconds = MetricBuilder.getInstance();
        seconds.addMetric("java.put").addTag("host", "web01").addDataPoint(START_MS, 7L).addDataPoint(START_MS + 1000, 8.5);
        telnet.putMetrics(seconds);
        MetricBuilder milliseconds = MetricBuilder.getInstance();
        milliseconds.addMetric("java.putm").addTag("host", "web01").addDataPoint(START_MS + 123, 9L);
        telnet.pushMetrics(milliseconds);
        telnet.shutdown();
    }

    private void ask() {
        QueryBuilder query = QueryBuilder.getInstance();
        query.setStart(new Date(START_MS)).setEnd(new Date(START_MS + STEPS * 1000L));
        QueryMetric sums = query.addMetric("java.gzip").addTag("dc", "eu");
        sums.addAggregator(AggregatorFactory.createSumAggregator(1, TimeUnit.HOURS));
        sums.addGrouper(new TagGrouper("host"));
        QueryMetric last = query.addMetric("java.plain").addTag("host", "web02");
        last.setLimit(2);
        last.setOrder(QueryMetric.Order.DESCENDING);
        query.addMetric("java.plain.text");
        query.addMetric("java.unknown");
        List<QueryResult> results = http.query(query).getQueries();
        Map<String, Object> byHost = new LinkedHashMap<>();
        for (Result result : results.get(0).getResults()) {
            byHost.put(result.getTags().get("host").get(0), values(result));
        }
        seen.put("sums", byHost);
        seen.put("groups", results.get(0).getResults().get(0).getGroupResults().size());
        seen.put("sample_size", results.get(0).getSampleSize());
        seen.put("last", values(results.get(1).getResults().get(0)));
        seen.put("text", values(results.get(2).getResults().get(0)));
        seen.put("unknown", values(results.get(3).getResults().get(0)));
    }

    private static List<Object> values(Result result) {
        List<Object> values = new ArrayList<>();
        for (DataPoint point : result.getDataPoints()) {
            values.add(List.of(point.getTimestamp(), point.getValue()));
        }
        return values;
    }

    private void names() {
        QueryTagBuilder tags = QueryTagBuilder.getInstance();
        tags.setStart(new Date(START_MS));
        tags.addMetric("java.plain");
        seen.put("tags", http.queryTags(tags).getQueries().get(0).getResults().get(0).getTags());
        List<String> names = new ArrayList<>(http.getMetricNames());
        names.removeIf(name -> !name.startsWith("java."));
        seen.put("names", names);
        seen.put("version", http.getVersion());
        seen.put("status", http.getStatus().size());
        seen.put("check", http.getStatusCheck());
    }

    private void rollups() {
        RollupBuilder builder = RollupBuilder.getInstance("nightly", new RelativeTime(1, TimeUnit.HOURS));
        QueryBuilder query = builder.addRollup("java.rolled").addQuery();
        query.setStart(1, TimeUnit.DAYS);
        query.addMetric("java.plain").addAggregator(AggregatorFactory.createSumAggregator(1, TimeUnit.MINUTES));
        RollupTask task = http.createRollupTask(builder);
        seen.put("rollup", http.getRollupTask(task.getId()).getName());
        seen.put("rollups", http.getRollupTasks().size());
        http.deleteRollupTask(task.getId());
        seen.put("rollups_left", http.getRollupTasks().size());
    }

    private void deletes() {
        QueryBuilder part = QueryBuilder.getInstance();
        part.setStart(new Date(START_MS)).setEnd(new Date(START_MS + 59_999));
        part.addMetric("java.plain").addTag("host", "web02");
        http.delete(part);
        http.deleteMetric("java.gzip.text");
    }
}
