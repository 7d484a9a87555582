package um.imap.oauth2;

import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What a JVM waits for once, in milliseconds: each time in a JVM that has just started. As in UM, the library is in the jar, and
 * an earlier start has unpacked it in the work directory. The system property {@code um.home} is UM's home.
 */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Fork(10)
@Warmup(iterations = 0)
@Measurement(iterations = 1)
public class Opening {
    private static final Path UM_HOME = Path.of(System.getProperty("um.home"));

    /** The library alone: mapped, linked, and called for the first time. */
    @Benchmark
    public String library() {
        System.load(System.getProperty(NativeLibrary.PROPERTY));
        return Native.version();
    }

    /** What the first fetch does besides: asking the JVM whom it trusts. */
    @Benchmark
    public byte[][] trust() throws GeneralSecurityException {
        return JvmTrust.issuers();
    }

    /** All that the loader does. */
    @Benchmark
    public void loader() {
        System.clearProperty(NativeLibrary.PROPERTY);
        NativeLibrary.INSTANCE.load(UM_HOME.resolve("cmsbs-work/um-imap-oauth2"));
    }

    /** What UM waits for: a mailbox is opened. */
    @Benchmark
    public BounceMailbox mailbox() {
        System.clearProperty(NativeLibrary.PROPERTY);
        return BounceMailbox.builder().umHome(UM_HOME).open();
    }
}
