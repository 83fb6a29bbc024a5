import java.lang.reflect.Method;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginBundle;
import org.elasticsearch.plugins.PluginsLoader;

/** One node with the transport module: FOLDER HTTP_PORT TRANSPORT_PORT [HOST], by default on 127.0.0.1. */
public class ElasticsearchNode {
    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]);
        Settings settings = Settings.builder()
            .put("path.home", home.toString())
            .put("http.port", arguments[1])
            .put("transport.port", arguments[2])
            .put("network.host", arguments.length > 3 ? arguments[3] : "127.0.0.1")
            .put("discovery.type", "single-node")
            .put("cluster.name", "qadapt-tests")
            .put("node.name", "node1")
            .put("http.type", "netty4")
            .put("transport.type", "netty4")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        Environment environment = new Environment(settings, home.resolve("config"));
        LogConfigurator.registerErrorListener();
        LogConfigurator.setNodeName("node1");
        LogConfigurator.configure(environment, true);
        Set<PluginBundle> modules = bundles(home.resolve("modules"));
        Node node = new Node(environment, PluginsLoader.createPluginsLoader(modules, Set.of(), Map.of()));
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

    /** The method has one argument in 8.19 and a second one in 9. */
    @SuppressWarnings("unchecked")
    private static Set<PluginBundle> bundles(Path folder) throws Exception {
        Method load = Arrays.stream(PluginsLoader.class.getMethods())
            .filter(each -> each.getName().equals("loadModulesBundles")).findFirst().orElseThrow();
        Object found = load.getParameterCount() == 1 ? load.invoke(null, folder) : load.invoke(null, folder, false);
        return (Set<PluginBundle>) found;
    }
}
