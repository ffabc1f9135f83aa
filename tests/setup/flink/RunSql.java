import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/** Runs the statements of a file, as `sql-client.sh -f` does, on a cluster within this process; the last one goes on. */
public class RunSql {
    public static void main(String[] arguments) throws Exception {
        TableEnvironment tables = TableEnvironment.create(EnvironmentSettings.inStreamingMode());
        tables.getConfig().set("parallelism.default", "1");
        TableResult last = null;
        for (String statement : Files.readString(Path.of(arguments[0])).split(";\\s*(\n|$)")) {
            if (!statement.isBlank()) {
                last = tables.executeSql(statement);
            }
        }
        last.await();
    }
}
