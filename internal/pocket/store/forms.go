package store

import (
	"bytes"
	"hash/maphash"
	"strconv"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
)

// The spans of a segment are much alike: they come from a few places of one
// program. A form is what those of one place have in common: source, class,
// flags, the keys of their attributes in order, and the values that the first of
// them had. A span then only says which of them are others, as a merge patch
// (RFC 7396), which SQL can apply too:
//
//	form     [1,2,257,{"http.route":"/roll","die.result":3,"url.scheme":"http"}]
//	changes  {"die.result":5}

// spanForm is a form, before the writer has numbers for its source and class.
type spanForm struct {
	source, class int // indexes into the batch
	flags         uint64
	attributes    fields
}

// formKey is what spans of one form share; keys is a hash.
type formKey struct {
	source, class int
	flags, keys   uint64
}

// fields are attributes as JSON.
type fields struct {
	text  []byte
	list  []field
	keys  uint64 // hash of the keys in order
	exact bool   // text says all
}

// field is where an attribute stands in the text of its fields.
type field struct{ key, value, end int }

// set encodes attributes; it uses the memory of those before.
func (f *fields) set(kvs []*commonpb.KeyValue, seed maphash.Seed) {
	var hash maphash.Hash
	hash.SetSeed(seed)
	f.text, f.list, f.exact = append(f.text[:0], '{'), f.list[:0], distinct(kvs)
	for i, kv := range kvs {
		if i > 0 {
			f.text = append(f.text, ',')
		}
		at := field{key: len(f.text)}
		f.text = append(appendString(f.text, kv.GetKey()), ':')
		at.value = len(f.text)
		hash.Write(f.text[at.key:at.value])
		var exact bool
		f.text, exact = appendValue(f.text, kv.GetValue(), 1)
		f.exact = f.exact && exact && exactKey(kv)
		at.end = len(f.text)
		f.list = append(f.list, at)
	}
	f.text = append(f.text, '}')
	f.keys = hash.Sum64()
}

func (f *fields) clone() fields {
	return fields{text: bytes.Clone(f.text), list: append([]field(nil), f.list...), keys: f.keys, exact: f.exact}
}

// appendChanges appends what has to be changed of base to get f. It reports false
// where a merge patch cannot say it: where keys are others, and where a value is
// a map, which would be merged into the one that is there.
func (f *fields) appendChanges(b []byte, base *fields) ([]byte, bool) {
	if len(f.list) != len(base.list) {
		return b, false
	}
	b = append(b, '{')
	first := true
	for i, at := range f.list {
		was := base.list[i]
		if bytes.Equal(f.text[at.key:at.end], base.text[was.key:was.end]) {
			continue
		}
		if f.text[at.value] == '{' || !bytes.Equal(f.text[at.key:at.value], base.text[was.key:was.value]) {
			return b, false
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, f.text[at.key:at.end]...)
	}
	return append(b, '}'), true
}

// forms are those of a segment.
type forms struct {
	list  []*spanForm
	byKey map[formKey]int // the newest one
}

// appendForm appends to b the number of the span's form, which is made if there
// is none, and after rest, a part of the span's text, its changes.
func (f *forms) appendForm(b, rest []byte, key formKey, attributes *fields) []byte {
	before := len(b)
	if i, ok := f.byKey[key]; ok && attributes.exact {
		b = append(strconv.AppendInt(b, int64(i), 10), rest...)
		if b, ok = attributes.appendChanges(b, &f.list[i].attributes); ok {
			return b
		}
		b = b[:before]
	}
	i := len(f.list)
	f.list = append(f.list, &spanForm{source: key.source, class: key.class, flags: key.flags, attributes: attributes.clone()})
	if attributes.exact { // what the text does not say is in the span's rest, and no other span's
		f.byKey[key] = i
	}
	b = append(strconv.AppendInt(b, int64(i), 10), rest...)
	return append(b, "{}"...)
}

// appendText appends the forms as JSON, with the writer's numbers.
func (f *forms) appendText(b []byte, sources, classes []int64) []byte {
	b = append(b, '[')
	for i, form := range f.list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = append(strconv.AppendInt(b, sources[form.source], 10), ',')
		b = append(strconv.AppendInt(b, classes[form.class], 10), ',')
		b = append(strconv.AppendUint(b, form.flags, 10), ',')
		b = append(b, form.attributes.text...)
		b = append(b, ']')
	}
	return append(b, ']')
}
