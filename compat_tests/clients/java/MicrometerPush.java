import io.micrometer.core.instrument.Clock;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import io.micrometer.kairos.KairosConfig;
import io.micrometer.kairos.KairosMeterRegistry;
import io.micrometer.opentsdb.OpenTSDBConfig;
import io.micrometer.opentsdb.OpenTSDBMeterRegistry;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;

/** Micrometer's registries for KairosDB and OpenTSDB publish a counter, a gauge, a timer and many gauges while closing. */
public class MicrometerPush {
    private static final int GAUGES = 200;

    public static void main(String[] arguments) {
        MeterRegistry registry = arguments[0].equals("kairos") ? kairos(arguments[1]) : opentsdb(arguments[1]);
        String name = "micrometer." + arguments[0];
        Counter counter = registry.counter(name + ".orders", "shop", "north");
        counter.increment(7);
        registry.gauge(name + ".queue", new AtomicInteger(42));
        Timer timer = registry.timer(name + ".latency", "path", "/index");
        timer.record(Duration.ofMillis(250));
        timer.record(Duration.ofMillis(750));
        AtomicInteger[] gauges = new AtomicInteger[GAUGES];
        for (int number = 0; number < GAUGES; number++) {
            gauges[number] = registry.gauge(name + ".many", java.util.List.of(
                io.micrometer.core.instrument.Tag.of("number", String.valueOf(number))), new AtomicInteger(number));
        }
        registry.close();
        if (gauges.length != GAUGES) {
            throw new IllegalStateException("the gauges must live until the registry is closed");
        }
    }

    private static MeterRegistry kairos(String uri) {
        return new KairosMeterRegistry(new KairosConfig() {
            @Override
            public String get(String key) {
                return null;
            }

            @Override
            public String uri() {
                return uri;
            }

            @Override
            public int batchSize() {
                return 64;
            }
        }, Clock.SYSTEM);
    }

    private static MeterRegistry opentsdb(String uri) {
        return new OpenTSDBMeterRegistry(new OpenTSDBConfig() {
            @Override
            public String get(String key) {
                return null;
            }

            @Override
            public String uri() {
                return uri;
            }

            @Override
            public int batchSize() {
                return 64;
            }
        }, Clock.SYSTEM);
    }
}
