package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RedeploymentTest {
    /** The program itself waits for threads to end and for class loaders to be collected; this is what it says of the rest. */
    @Test
    void anApplicationThatIsDeployedAgainAndAgainLeavesNothingButTheMappedLibrary(@TempDir Path directory) throws Exception {
        int times = 20;
        // Tomcat's own scripts open these to it.
        new ChildJvm(directory).with("-Xcheck:jni", "--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.io=ALL-UNNAMED",
                "--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
                "--add-opens=java.rmi/sun.rmi.transport=ALL-UNNAMED").runSilently(Redeployment.class, directory.toString(), String.valueOf(times));
        String[] report = Files.readString(directory.resolve("report")).split("\n");
        int[] mapped = Arrays.stream(report[0].split(" ")).mapToInt(Integer::parseInt).toArray();
        assertEquals(times, mapped.length);
        // The file in the work directory is mapped again, once the class loader before is collected: NativeLibrary states it.
        assertTrue(mapped[times - 1] < times, report[0]);
        // Both applications with the shared jar have read a mail.
        assertTrue(report[1].matches("[1-9]\\d+ [1-9]\\d+"), report[1]);
    }
}
