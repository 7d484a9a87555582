package um.imap.oauth2;

import java.io.IOException;
import java.io.PrintStream;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Set;

/**
 * {@code java -jar um-imap-oauth2.jar install-native DIRECTORY [PLATFORM]}: the native library as a file, for systems on
 * which UM's JVM can write to no directory from which a library can be loaded.
 */
final class Main {
    private Main() {
    }

    public static void main(String[] arguments) {
        System.exit(run(List.of(arguments), System.out, System.err));
    }

    /** Returns the exit code: 0, 1 if it failed, 2 if it was called wrongly. */
    static int run(List<String> arguments, PrintStream out, PrintStream err) {
        Texts.speak(null);
        if (arguments.size() < 2 || arguments.size() > 3 || !arguments.get(0).equals("install-native")) {
            boolean asked = arguments.equals(List.of("--help"));
            (asked ? out : err).print(usage());
            return asked ? 0 : 2;
        }
        Platform here = Platform.current();
        Platform platform = arguments.size() < 3 ? here : Platform.named(arguments.get(2));
        if (platform == null) {
            err.println(Texts.text("install.noPlatform", arguments.get(2), String.join(", ", Platform.NAMES)));
            return 2;
        }
        try {
            URL library = platform.inJar();
            if (library == null) {
                err.println(Texts.text("install.notInJar", platform.name(), Platform.allInJar()));
                return 1;
            }
            Path directory = Path.of(arguments.get(1)).toAbsolutePath().normalize();
            byte[] content = NativeLibrary.content(library);
            Files.createDirectories(directory);
            Path file = NativeLibrary.write(content, directory, platform);
            readableForAll(file);
            out.println(Texts.text("install.written", file, platform.name(), NativeLibrary.sha256(content)));
            if (platform.name().equals(here.name())) {
                System.setProperty(NativeLibrary.PROPERTY, file.toString());
                NativeLibrary.INSTANCE.load(null);
                out.println(Texts.text("install.loadable"));
            }
            out.println(Texts.text("install.start", NativeLibrary.PROPERTY, file));
            return 0;
        } catch (MailboxException e) {
            err.println(e.getMessage());
        } catch (IOException | InvalidPathException e) {
            err.println(Texts.text("install.unwritten", arguments.get(1), e));
        }
        return 1;
    }

    /** An image is made by one account and run by another one. */
    private static void readableForAll(Path file) throws IOException {
        if (file.getFileSystem().supportedFileAttributeViews().contains("posix")) {
            Set<PosixFilePermission> permissions = PosixFilePermissions.fromString("rwxr-xr-x");
            // What is right already may lie where nothing can be written.
            if (!Files.getPosixFilePermissions(file).equals(permissions)) {
                Files.setPosixFilePermissions(file, permissions);
            }
        }
    }

    private static String usage() {
        return Texts.text("install.usage", NativeLibrary.version(NativeLibrary.class), Platform.allInJar(), NativeLibrary.PROPERTY);
    }
}
