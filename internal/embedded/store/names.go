package store

import (
	"context"
	"strings"
	"sync"

	"dicelab/internal/contract"
)

// Limits of the fields for attributes and metadata. The engine drops rows if the fields of
// a block and those of one more row are above 2,000 together: these are the names of an
// index, those of a row (of both scopes), and twice the fields that are no attributes.
const (
	maxNames    = 1_200 // of an index
	maxRowNames = 350   // of a row, of each scope
)

// names holds the names of attributes and metadata that are fields of an index. Others are
// only in the journal, so queries on them read the original.
type names struct {
	mu    sync.Mutex
	known map[string]bool
}

// readNames reads the names that an index has.
func readNames(ctx context.Context, x *index) (*names, error) {
	found, err := x.query(ctx, "* | field_names")
	if err != nil {
		return nil, err
	}
	n := &names{known: map[string]bool{}}
	for _, name := range []string{contract.FieldTraceID, contract.FieldSpanID} { // queries search for these without other conditions
		n.known[prefixMetadata+name] = true
	}
	for _, row := range found {
		if name := row.value("name"); isAttribute(name) {
			n.known[name] = true
		}
	}
	return n, nil
}

// isAttribute reports whether a field is of an attribute or of metadata.
func isAttribute(name string) bool {
	if strings.HasPrefix(name, prefixMetadata) {
		return true
	}
	for _, scope := range []string{scopeResource, scopeSpan} {
		for _, kind := range kinds() {
			if strings.HasPrefix(name, scope+kind) {
				return true
			}
		}
	}
	return false
}

// take reports whether a row may have the field, and counts it.
func (n *names) take(name string) bool {
	if len(name) > maxFieldName {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.known[name] {
		if len(n.known) >= maxNames {
			return false
		}
		n.known[name] = true
	}
	return true
}
