import org.kairosdb.metrics4j.MetricSourceManager;
import org.kairosdb.metrics4j.annotation.Key;
import org.kairosdb.metrics4j.collectors.DoubleCollector;
import org.kairosdb.metrics4j.collectors.LongCollector;

/** metrics4j, configured by a file, reports on a timer and once more when the process ends. */
public class Metrics4jKairos {
    /** What is measured. */
    public interface Orders {
        LongCollector placed(@Key("shop") String shop);

        DoubleCollector worth(@Key("shop") String shop);
    }

    public static void main(String[] arguments) throws Exception {
        Orders orders = MetricSourceManager.getSource(Orders.class);
        for (int count = 0; count < 10; count++) {
            orders.placed("north").put(2);
            orders.placed("south").put(3);
        }
        orders.worth("north").put(12.75);
        Thread.sleep(1500);
        orders.placed("north").put(1);
    }
}
