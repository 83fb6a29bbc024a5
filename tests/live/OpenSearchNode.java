import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.opensearch.Version;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.Node;
import org.opensearch.plugins.PluginInfo;

/** One node with plugins of the class path: FOLDER HTTP_PORT TRANSPORT_PORT [HOST], by default on 127.0.0.1. */
public class OpenSearchNode extends Node {
    private static final String PAINLESS = "org.opensearch.painless.PainlessModulePlugin";

    private OpenSearchNode(Environment environment) {
        super(environment, List.of(
            plugin("org.opensearch.transport.Netty4ModulePlugin"),
            plugin("org.opensearch.index.reindex.ReindexModulePlugin"),
            plugin(PAINLESS),
            plugin("org.opensearch.knn.plugin.KNNPlugin", PAINLESS)), false);
    }

    private static PluginInfo plugin(String name, String... extended) {
        return new PluginInfo(
            name, name, "3", Version.CURRENT, "21", name, null, Arrays.asList(extended), false);
    }

    public static void main(String[] arguments) throws Exception {
        Settings settings = Settings.builder()
            .put("path.home", arguments[0])
            .put("http.port", arguments[1])
            .put("transport.port", arguments[2])
            .put("network.host", arguments.length > 3 ? arguments[3] : "127.0.0.1")
            .put("discovery.type", "single-node")
            // 1-bit codes of a memory-mapped index are compared by a native library, which is missing here.
            .put("node.store.allow_mmap", false)
            .put("cluster.name", "qadapt-tests")
            .put("node.name", "node1")
            .put("http.type", "netty4")
            .put("transport.type", "netty4")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        LogConfigurator.setNodeName("node1");
        Node node = new OpenSearchNode(new Environment(settings, Path.of(arguments[0], "config")));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception error) {
                error.printStackTrace();
            }
        }));
        node.start();
        Thread.currentThread().join();
    }
}
