import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.cloudevents.CloudEvent;
import io.cloudevents.kafka.KafkaMessageFactory;
import java.util.Base64;
import org.apache.kafka.common.header.internals.RecordHeaders;

/**
 * Reads Kafka records as the CloudEvents SDK for Java does, and prints what it understood.
 *
 * <p>Standard input: a JSON list of {"key", "value", "headers": {name: value}}, all but the names in base64;
 * a key may be null. Standard output: a JSON list of {"attributes", "data"}: attributes as text, the key
 * among them as "partitionkey" where there is one, and data in base64. Whatever the SDK complains about
 * ends the program.
 */
public class ReadCloudEvents {
    public static void main(String[] arguments) throws Exception {
        ObjectMapper json = new ObjectMapper();
        ArrayNode understood = json.createArrayNode();
        for (JsonNode record : json.readTree(System.in)) {
            try {
                understood.add(read(json, record));
            } catch (RuntimeException complaint) {
                throw new IllegalArgumentException(record + ": " + complaint.getMessage(), complaint);
            }
        }
        json.writeValue(System.out, understood);
    }

    static ObjectNode read(ObjectMapper json, JsonNode record) throws Exception {
        RecordHeaders headers = new RecordHeaders();
        var fields = record.get("headers").fields();
        while (fields.hasNext()) {
            var field = fields.next();
            headers.add(field.getKey(), field.getValue().binaryValue());
        }
        CloudEvent event = KafkaMessageFactory.createReader(headers, record.get("value").binaryValue()).toEvent();
        ObjectNode attributes = json.createObjectNode();
        for (String name : event.getAttributeNames()) {
            attributes.put(name, text(event.getAttribute(name)));
        }
        for (String name : event.getExtensionNames()) {
            attributes.put(name, text(event.getExtension(name)));
        }
        if (!record.get("key").isNull()) {
            attributes.put("partitionkey", new String(record.get("key").binaryValue(), "UTF-8"));
        }
        ObjectNode read = json.createObjectNode();
        read.set("attributes", attributes);
        byte[] data = event.getData() == null ? new byte[0] : event.getData().toBytes();
        read.put("data", Base64.getEncoder().encodeToString(data));
        return read;
    }

    static String text(Object value) {
        return value == null ? null : value.toString();
    }
}
