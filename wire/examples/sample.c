/* A complete encoder for the frames of outstation-wire, in C99.
 *
 * Copy everything down to main(). It needs no heap, no table and one buffer as
 * long as your longest frame; it writes each byte once, sealing as it goes. The
 * format is explained in ../README.md. On a desk:
 *
 *     cc -std=c99 -o sample sample.c && ./sample | xxd
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { OW_DELIMITER = 0, OW_VERSION = 1, OW_FRAME_BYTES_MAX = 1024 };
enum ow_kind { OW_HELLO, OW_SAMPLE, OW_LOG };
enum ow_type { OW_BOOL, OW_INT, OW_F32, OW_F64, OW_TEXT };
enum ow_level { OW_ERROR, OW_WARN, OW_INFO, OW_DEBUG };

struct ow_frame {
    uint8_t *buf;
    size_t capacity;
    size_t len;     /* counts on when the buffer is full, so that the end can tell */
    size_t code_at; /* where the open COBS group's code byte stands */
    uint32_t crc;
};

/* --- the envelope: COBS, CRC-32, version --- */

static void ow_raw(struct ow_frame *f, size_t at, uint8_t byte)
{
    if (at < f->capacity)
        f->buf[at] = byte;
}

static void ow_open_group(struct ow_frame *f)
{
    f->code_at = f->len++;
}

static void ow_close_group(struct ow_frame *f)
{
    ow_raw(f, f->code_at, (uint8_t)(f->len - f->code_at));
}

static void ow_stuff(struct ow_frame *f, uint8_t byte)
{
    if (byte != 0)
        ow_raw(f, f->len++, byte);
    if (byte == 0 || f->len - f->code_at == 255) {
        ow_close_group(f);
        ow_open_group(f);
    }
}

static void ow_byte(struct ow_frame *f, uint8_t byte)
{
    int bit;
    f->crc ^= byte;
    for (bit = 0; bit < 8; bit++)
        f->crc = (f->crc >> 1) ^ ((f->crc & 1) ? 0xEDB88320u : 0);
    ow_stuff(f, byte);
}

static void ow_little_endian(struct ow_frame *f, uint64_t bits, int bytes)
{
    for (; bytes > 0; bytes--, bits >>= 8)
        ow_byte(f, (uint8_t)(bits & 0xFF));
}

/* --- the body: numbers and text as postcard writes them --- */

static void ow_uint(struct ow_frame *f, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        ow_byte(f, (uint8_t)((n & 0x7F) | 0x80));
    ow_byte(f, (uint8_t)n);
}

static void ow_text(struct ow_frame *f, const char *text)
{
    size_t len = strlen(text);
    ow_uint(f, len);
    for (; len > 0; len--)
        ow_byte(f, (uint8_t)*text++);
}

/* --- frames: begin, then what belongs into it, then end --- */

static void ow_begin(struct ow_frame *f, uint8_t *buf, size_t capacity, enum ow_kind kind)
{
    f->buf = buf;
    f->capacity = capacity < OW_FRAME_BYTES_MAX ? capacity : OW_FRAME_BYTES_MAX;
    f->len = 0;
    f->crc = 0xFFFFFFFFu;
    ow_open_group(f);
    ow_byte(f, OW_VERSION);
    ow_uint(f, kind);
}

/* Returns how many bytes to send, or 0 if the frame did not fit. */
static size_t ow_end(struct ow_frame *f)
{
    uint32_t crc = ~f->crc;
    ow_little_endian(f, crc, 4);
    ow_close_group(f);
    ow_raw(f, f->len++, OW_DELIMITER);
    return f->len <= f->capacity ? f->len : 0;
}

/* `channels` of them must follow. */
static void ow_hello(struct ow_frame *f, const char *firmware, const char *version,
                     uint16_t channels)
{
    ow_text(f, firmware);
    ow_text(f, version);
    ow_uint(f, channels);
}

static void ow_channel(struct ow_frame *f, uint16_t id, const char *name, const char *unit,
                       enum ow_type type)
{
    ow_uint(f, id);
    ow_text(f, name);
    ow_text(f, unit);
    ow_uint(f, type);
}

/* `values` of them must follow. */
static void ow_sample(struct ow_frame *f, uint32_t seq, uint32_t uptime_ms, uint16_t values)
{
    ow_uint(f, seq);
    ow_uint(f, uptime_ms);
    ow_uint(f, values);
}

static void ow_value(struct ow_frame *f, uint16_t id, enum ow_type type)
{
    ow_uint(f, id);
    ow_uint(f, type);
}

static void ow_value_bool(struct ow_frame *f, uint16_t id, int state)
{
    ow_value(f, id, OW_BOOL);
    ow_byte(f, state ? 1 : 0);
}

static void ow_value_int(struct ow_frame *f, uint16_t id, int64_t n)
{
    ow_value(f, id, OW_INT);
    ow_uint(f, n < 0 ? ~((uint64_t)n << 1) : (uint64_t)n << 1);
}

static void ow_value_f32(struct ow_frame *f, uint16_t id, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    ow_value(f, id, OW_F32);
    ow_little_endian(f, bits, 4);
}

/* Does not compile where a double has 4 bytes (AVR): leave it out there. */
typedef char ow_double_has_8_bytes[sizeof(double) == 8 ? 1 : -1];

static void ow_value_f64(struct ow_frame *f, uint16_t id, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    ow_value(f, id, OW_F64);
    ow_little_endian(f, bits, 8);
}

static void ow_value_text(struct ow_frame *f, uint16_t id, const char *text)
{
    ow_value(f, id, OW_TEXT);
    ow_text(f, text);
}

static void ow_log(struct ow_frame *f, enum ow_level level, const char *text)
{
    ow_uint(f, level);
    ow_text(f, text);
}

/* --- what your firmware does with it --- */

static uint8_t buf[OW_FRAME_BYTES_MAX];

static int uart_send(size_t len)
{
    return len > 0 && fwrite(buf, 1, len, stdout) == len;
}

static int send_hello(void)
{
    struct ow_frame f;
    ow_begin(&f, buf, sizeof buf, OW_HELLO);
    ow_hello(&f, "greenhouse", "1.4.0", 3);
    ow_channel(&f, 1, "air_temperature", "Cel", OW_F32);
    ow_channel(&f, 2, "relative_humidity", "%", OW_F32);
    ow_channel(&f, 3, "door_open", "", OW_BOOL);
    return uart_send(ow_end(&f));
}

static int send_sample(void)
{
    struct ow_frame f;
    ow_begin(&f, buf, sizeof buf, OW_SAMPLE);
    ow_sample(&f, 7, 61000, 3);
    ow_value_f32(&f, 1, 21.5f);
    ow_value_f32(&f, 2, 48.25f);
    ow_value_bool(&f, 3, 0);
    return uart_send(ow_end(&f));
}

static int send_log(const char *text)
{
    struct ow_frame f;
    ow_begin(&f, buf, sizeof buf, OW_LOG);
    ow_log(&f, OW_WARN, text);
    return uart_send(ow_end(&f));
}

/* The types of value the greenhouse has no use for, one each. */
static int send_other_values(void)
{
    struct ow_frame f;
    ow_begin(&f, buf, sizeof buf, OW_SAMPLE);
    ow_sample(&f, 0xFFFFFFFFu, 0, 4);
    ow_value_int(&f, 300, -2);
    ow_value_int(&f, 301, INT64_MIN);
    ow_value_f64(&f, 302, 52.520008);
    ow_value_text(&f, 303, "04:A2");
    return uart_send(ow_end(&f));
}

/* Sends the frames of the README; with an argument, that text as one Log. */
int main(int argc, char **argv)
{
    int sent;
    if (argc > 1)
        return send_log(argv[1]) ? 0 : 1;
    putchar(OW_DELIMITER);
    sent = send_hello() && send_sample() && send_log("door open for 30 min");
    return sent && send_other_values() ? 0 : 1;
}
