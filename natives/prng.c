/* bcryptprimitives.dll for a Wine that has none (before 8.3): Rust takes random numbers from there, and each Windows has it. */
#include <stddef.h>

__declspec(dllimport) unsigned char SystemFunction036(void *octets, unsigned long count);

__declspec(dllexport) int ProcessPrng(unsigned char *octets, size_t count) {
    return SystemFunction036(octets, (unsigned long)count);
}
