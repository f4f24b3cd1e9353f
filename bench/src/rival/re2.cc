// RE2 behind two functions of C: one compiles a pattern, one looks for it.
#include <re2/re2.h>

extern "C" {

// Never freed: it is used until the program ends.
void *rival_re2_new(const char *pattern) {
    RE2::Options options;
    options.set_encoding(RE2::Options::EncodingLatin1);
    options.set_log_errors(false);
    RE2 *expression = new RE2(pattern, options);
    return expression->ok() ? expression : nullptr;
}

// Looks from `from` on; where the first group matches, its place is put into `start` and `end`.
bool rival_re2_find(const void *expression, const char *text, size_t length, size_t from, size_t *start, size_t *end) {
    re2::StringPiece groups[2];
    const RE2 *re2 = static_cast<const RE2 *>(expression);
    if (!re2->Match(re2::StringPiece(text, length), from, length, RE2::UNANCHORED, groups, 2)) {
        return false;
    }
    *start = groups[1].data() - text;
    *end = *start + groups[1].size();
    return true;
}

}
