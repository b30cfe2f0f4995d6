package explorer

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"dicelab/internal/otlpjson"
	"dicelab/internal/query"
)

// A trace from a file is shown and not stored, anywhere: the file comes with the
// form that asks for the page, and goes with the page, packed, in a hidden field
// of the form whose buttons ask for more of it. Where a page of a stored trace has
// a link, its page has such a button.

const (
	// maxFile bounds a file, in bytes, packed or not.
	maxFile = 16 << 20
	// maxPacked bounds a packed file. What cannot be compressed gets a little longer.
	maxPacked = maxFile + maxFile/16
	// maxField bounds another field of the form.
	maxField = 64 << 10
	// maxListed bounds the list of a file's traces.
	maxListed = 200
)

// fileView is the data of pages of a file.
type fileView struct {
	Name   string
	Packed string   // the file; "" if there is none
	Error  string   // why it cannot be shown
	Notes  []string // what of it is not shown
	Traces int
	Rows   []fileRow // of the list
	List   control   // leads to the list, if there is more than one trace
	Next   control   // leads to the rest of the list
}

// fileRow is a trace in the list of a file.
type fileRow struct {
	traceRow
	Open control
}

// control is a way to more of a trace: a link or, for a file, a button of its form.
type control struct {
	Text, Class string
	Label       string // for a screen reader, where many buttons have one text
	Href        string // of a link
	Show        string // what the button asks for
}

func (e *explorer) fileForm(w http.ResponseWriter, _ *http.Request) {
	e.filePage(w, http.StatusOK, fileView{})
}

func (e *explorer) filePage(w http.ResponseWriter, status int, v fileView) {
	e.render(w, status, "file", page{Title: "A trace from a file", Section: "Traces", Data: v})
}

// file shows the content of an uploaded file.
func (e *explorer) file(w http.ResponseWriter, r *http.Request) {
	v, packed, show, err := readFileForm(r)
	var traces []*query.Trace
	var summary otlpjson.Summary
	if err == nil {
		traces, summary, err = unpack(packed)
	}
	if err != nil {
		v.Error = err.Error()
		e.filePage(w, fileStatus(err), v)
		return
	}
	v.Packed = base64.StdEncoding.EncodeToString(packed)
	v.Notes, v.Traces = summary.Notes, len(traces)
	id := show.Get("trace")
	if len(traces) > 1 {
		if id == "" {
			e.fileList(w, v, traces, skipped(show))
			return
		}
		v.List = control{Text: fmt.Sprintf("All %d traces of the file", len(traces)), Class: "button"}
		v.List.Show = url.Values{"skip": {"0"}}.Encode()
	}
	for _, t := range traces {
		if id == "" || t.ID == id {
			view := e.traceView(r.Context(), t, askOf(t.ID, show, true), show, &v)
			e.render(w, http.StatusOK, "trace", page{Wide: true, Title: view.Root + " " + t.ID[:8] + " from a file", Section: "Traces", Data: view})
			return
		}
	}
	v.Error = fmt.Sprintf("there is no trace %.40q in it", id)
	e.filePage(w, http.StatusBadRequest, v)
}

// errTooLong reports a file above the limit.
var errTooLong = fmt.Errorf("it is longer than %d MiB: cut it, or store it with dicelab import", maxFile>>20)

// fileStatus returns the status of a page that cannot show a file.
func fileStatus(err error) int {
	refused, isRefused := errors.AsType[*query.MeterError](err)
	switch {
	case errors.Is(err, errTooLong):
		return http.StatusRequestEntityTooLarge
	case isRefused && refused.Busy:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// readFileForm reads a form with a file, or with one that an earlier page packed.
// It packs a file as it arrives, so that the whole of it is never in memory.
func readFileForm(r *http.Request) (v fileView, packed []byte, show url.Values, err error) {
	find := ""
	form, err := r.MultipartReader()
	if err != nil {
		return v, nil, nil, fmt.Errorf("the form cannot be read: send it as the form of this page does: %w", err)
	}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return v, nil, nil, fmt.Errorf("the form cannot be read: send it as the form of this page does: %w", err)
		}
		switch part.FormName() {
		case "file":
			if v.Name = part.FileName(); v.Name != "" {
				packed, err = pack(part)
			}
		case "packed":
			packed, err = io.ReadAll(io.LimitReader(base64.NewDecoder(base64.StdEncoding, part), maxPacked))
		case paramFind:
			find, err = field(part)
		case "name":
			v.Name, err = field(part)
		case "show":
			var text string
			if text, err = field(part); err == nil {
				show, err = url.ParseQuery(text)
			}
		}
		if err != nil {
			return v, nil, nil, fmt.Errorf("reading the form's %.40q: %w", part.FormName(), err)
		}
	}
	if len(packed) == 0 {
		return v, nil, nil, errors.New("no file was chosen")
	}
	if show.Has(paramTyped) { // else the search is in the way that was taken
		show.Set(paramFind, find)
	}
	return v, packed, show, nil
}

// field reads a short field of a form.
func field(part io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(part, maxField))
	return string(text), err
}

// pack compresses a file.
func pack(file io.Reader) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	n, err := io.Copy(z, io.LimitReader(file, maxFile+1))
	if n > maxFile {
		return nil, errTooLong
	}
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// unpack reads the traces of a packed file.
func unpack(packed []byte) ([]*query.Trace, otlpjson.Summary, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, otlpjson.Summary{}, fmt.Errorf("the file that this page carried is damaged; choose it again: %w", err)
	}
	file := &io.LimitedReader{R: z, N: maxFile + 1}
	traces, summary, err := query.DecodeFile(file)
	switch {
	case file.N == 0:
		return nil, summary, errTooLong
	case errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader):
		return nil, summary, fmt.Errorf("the file that this page carried is damaged; choose it again: %w", err)
	}
	return traces, summary, err
}

// fileList lists the traces of a file from the skipped on.
func (e *explorer) fileList(w http.ResponseWriter, v fileView, traces []*query.Trace, skip int) {
	rest := traces[min(skip, len(traces)):]
	for _, t := range rest[:min(maxListed, len(rest))] {
		tree := t.Tree()
		service, name := rootOf(tree)
		row := fileRow{traceRow: e.row(query.Found{TraceID: t.ID, RootService: service, RootName: name, Start: t.Spans[0].Start, Duration: tree.Duration()})}
		row.Spans, row.Errors, row.Failed, row.Duration = len(t.Spans), t.Errors(), tree.Roots[0].Failed(), duration(tree.Duration())
		e.setServices(&row.traceRow, t.Services())
		row.Open = control{Text: "Open", Class: "button small", Label: "Open trace " + row.Short, Show: url.Values{"trace": {t.ID}}.Encode()}
		v.Rows = append(v.Rows, row)
	}
	if more := len(rest) - maxListed; more > 0 {
		v.Next = control{Text: fmt.Sprintf("%d more", more), Class: "button", Show: url.Values{"skip": {strconv.Itoa(skip + maxListed)}}.Encode()}
	}
	e.filePage(w, http.StatusOK, v)
}

// skipped reads how many of a long list to leave out; what is no number counts
// as 0.
func skipped(v url.Values) int {
	n, err := strconv.Atoi(v.Get("skip"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}
