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

/** What a JVM waits for once, in milliseconds: each time in a JVM that has just started. */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Fork(10)
@Warmup(iterations = 0)
@Measurement(iterations = 1)
public class Opening {
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
        NativeLibrary.INSTANCE.load(null);
    }

    /** What UM waits for: a mailbox is opened. */
    @Benchmark
    public BounceMailbox mailbox() {
        return BounceMailbox.builder().umHome(Path.of(System.getProperty("um.home"))).open();
    }
}
