package um.imap.oauth2;

import java.io.IOException;
import java.io.InputStream;
import java.lang.ref.WeakReference;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.catalina.Context;
import org.apache.catalina.LifecycleState;
import org.apache.catalina.core.StandardContext;
import org.apache.catalina.startup.Tomcat;

/**
 * The program of {@link RedeploymentTest}: a Tomcat with a web application that uses the library. Arguments: a directory for its
 * files, and how often the application is deployed.
 */
final class Redeployment {
    private static final String OTHER_USER = "others@example.com";
    private static final String APPLICATION = "um.imap.oauth2.web.WebApplication";

    private final Path directory;
    private final Tomcat tomcat = new Tomcat();
    private final Map<String, String> settings;
    /** A mailbox with a work directory has one reader at a time. */
    private final Map<String, String> otherSettings;

    private Redeployment(Path directory, Standin standin) throws IOException {
        this.directory = directory;
        this.settings = standin.settings();
        // With a work directory, as in UM.
        Files.createDirectories(directory.resolve("um/cmsbs-work"));
        settings.put("cmsbs.server.home", directory.resolve("um").toString());
        this.otherSettings = new LinkedHashMap<>(settings);
        otherSettings.put("cmsbs.mail.imap.user", OTHER_USER);
        tomcat.setBaseDir(directory.resolve("tomcat").toString());
        tomcat.getEngine();
    }

    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[0]);
        int times = Integer.parseInt(arguments[1]);
        // The library comes from the jar only.
        Path library = Path.of(System.clearProperty(NativeLibrary.PROPERTY));
        Path jar = jar(directory.resolve("um-imap-oauth2.jar"), library);
        StringBuilder report = new StringBuilder();
        try (Standin standin = new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, 3) + ", " + Standin.mailbox(OTHER_USER, 3), ""))) {
            Redeployment redeployment = new Redeployment(directory, standin);
            redeployment.tomcat.start();
            try {
                report.append(redeployment.withTheJarInside(jar, times)).append('\n');
                report.append(redeployment.withTheJarShared(jar)).append('\n');
            } finally {
                // Its threads would keep this JVM alive.
                redeployment.tomcat.stop();
                redeployment.tomcat.destroy();
            }
            Vitals.await("at an end with every thread", () -> Vitals.threads().isEmpty());
        }
        Files.writeString(directory.resolve("report"), report);
    }

    /** Deploys, reads and undeploys so many times; how often the library is mapped after each. */
    private String withTheJarInside(Path jar, int times) throws Exception {
        Path base = webApplication("inside");
        Files.copy(jar, Files.createDirectories(base.resolve("WEB-INF/lib")).resolve("um-imap-oauth2.jar"));
        List<Integer> mapped = new ArrayList<>();
        for (int i = 0; i < times; i++) {
            boolean forgetful = i % 2 == 1;
            WeakReference<ClassLoader> loader = deployAndUndeploy(base, i, forgetful);
            collected(loader);
            Vitals.await("at an end with every thread", () -> Vitals.threads().isEmpty() && cleaners() == 0);
            mapped.add(mappings());
        }
        return mapped.stream().map(String::valueOf).collect(Collectors.joining(" "));
    }

    /** Two applications that share the library's classes; then the shared class loader goes as well. */
    private String withTheJarShared(Path jar) throws Exception {
        URLClassLoader shared = new URLClassLoader(new URL[] {jar.toUri().toURL()}, Redeployment.class.getClassLoader().getParent()) {
            @Override
            protected Class<?> findClass(String name) throws ClassNotFoundException {
                // The servlet API is Tomcat's.
                return name.startsWith("javax.servlet.") ? Redeployment.class.getClassLoader().loadClass(name) : super.findClass(name);
            }
        };
        Context one = deploy(webApplication("one"), "/one", shared, false);
        Context two = deploy(webApplication("two"), "/two", shared, true);
        WeakReference<ClassLoader> first = new WeakReference<>(one.getLoader().getClassLoader());
        WeakReference<ClassLoader> second = new WeakReference<>(two.getLoader().getClassLoader());
        String octets = one.getServletContext().getAttribute("octets") + " " + two.getServletContext().getAttribute("octets");
        undeploy(one);
        undeploy(two);
        one = null;
        two = null;
        collected(first);
        collected(second);
        WeakReference<ClassLoader> all = new WeakReference<>(shared);
        shared.close();
        shared = null;
        collected(all);
        return octets;
    }

    private WeakReference<ClassLoader> deployAndUndeploy(Path base, int number, boolean forgetful) throws Exception {
        Context context = deploy(base, "/" + number, new ParentOfAll(), forgetful);
        WeakReference<ClassLoader> loader = new WeakReference<>(context.getLoader().getClassLoader());
        undeploy(context);
        return loader;
    }

    private Context deploy(Path base, String path, ClassLoader parent, boolean forgetful) {
        StandardContext context = new StandardContext();
        context.setName(path);
        context.setPath(path);
        context.setDocBase(base.toString());
        context.setParentClassLoader(parent);
        context.addLifecycleListener(new Tomcat.FixContextListener());
        context.addApplicationListener(APPLICATION);
        context.addServletContainerInitializer((classes, servletContext) -> {
            servletContext.setAttribute("settings", forgetful ? otherSettings : settings);
            servletContext.setAttribute("forgetful", forgetful ? true : null);
        }, null);
        tomcat.getHost().addChild(context);
        if (context.getState() != LifecycleState.STARTED || context.getServletContext().getAttribute("octets") == null) {
            throw new AssertionError(path + " was not started");
        }
        return context;
    }

    private void undeploy(Context context) throws Exception {
        context.stop();
        tomcat.getHost().removeChild(context);
        context.destroy();
    }

    private Path webApplication(String name) throws IOException {
        Path base = directory.resolve(name);
        String file = APPLICATION.replace('.', '/') + ".class";
        Path target = base.resolve("WEB-INF/classes").resolve(file);
        Files.createDirectories(target.getParent());
        try (InputStream in = Redeployment.class.getClassLoader().getResourceAsStream(file)) {
            Files.copy(in, target);
        }
        return base;
    }

    private static void collected(WeakReference<ClassLoader> loader) throws Exception {
        Vitals.await("at an end with the class loader", () -> {
            System.gc();
            return loader.get() == null;
        });
    }

    /** Threads of Cleaners beside the JVM's own. */
    private static long cleaners() {
        return Thread.getAllStackTraces().keySet().stream().filter(thread -> thread.getName().startsWith("Cleaner-")).count();
    }

    /** How many copies of the library's code are mapped. */
    private static int mappings() throws IOException {
        try (Stream<String> lines = Files.lines(Path.of("/proc/self/maps"))) {
            return (int) lines.filter(line -> line.contains("libum_imap_oauth2.so") && line.contains(" r-xp ")).count();
        }
    }

    /** The jar as it is shipped: the classes, and the library for this platform. */
    private static Path jar(Path jar, Path library) throws IOException {
        Path classes;
        try {
            classes = Path.of(BounceMailbox.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        } catch (java.net.URISyntaxException e) {
            throw new IOException(e);
        }
        try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(jar)); Stream<Path> files = Files.walk(classes)) {
            for (Path file : files.filter(Files::isRegularFile).collect(Collectors.toList())) {
                String name = classes.relativize(file).toString();
                if (!name.contains("/native/")) {
                    out.putNextEntry(new JarEntry(name));
                    Files.copy(file, out);
                }
            }
            out.putNextEntry(new JarEntry(Platform.current().resource().substring(1)));
            Files.copy(library, out);
        }
        return jar;
    }

    /** What a web application sees of this JVM's class path: the servlet API, and not the library. */
    private static final class ParentOfAll extends ClassLoader {
        ParentOfAll() {
            super(ClassLoader.getPlatformClassLoader());
        }

        @Override
        protected Class<?> findClass(String name) throws ClassNotFoundException {
            if (name.startsWith("javax.servlet.")) {
                return Redeployment.class.getClassLoader().loadClass(name);
            }
            throw new ClassNotFoundException(name);
        }
    }
}
