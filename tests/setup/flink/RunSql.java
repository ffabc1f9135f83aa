import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/** Runs the statements of a file, as `sql-client.sh -f` does, on a cluster within this process; the last one goes on. */
public class RunSql {
    /** A busy machine is slow, not dead: a job that failed begins at the beginning. */
    private static final Map<String, String> SETTINGS = Map.of(
            "parallelism.default", "1",
            "pekko.ask.timeout", "5 min",
            "heartbeat.timeout", "300000",
            "restart-strategy.type", "fixed-delay",
            "restart-strategy.fixed-delay.attempts", "100",
            "restart-strategy.fixed-delay.delay", "1 s");

    public static void main(String[] arguments) throws Exception {
        TableEnvironment tables = TableEnvironment.create(EnvironmentSettings.newInstance()
                .inStreamingMode()
                .withConfiguration(Configuration.fromMap(SETTINGS))
                .build());
        TableResult last = null;
        for (String statement : Files.readString(Path.of(arguments[0])).split(";\\s*(\n|$)")) {
            if (!statement.isBlank()) {
                last = tables.executeSql(statement);
            }
        }
        last.await();
    }
}
