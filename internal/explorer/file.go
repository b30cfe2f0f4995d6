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
	// maxFileForm bounds the form around it. What cannot be compressed gets longer
	// when it is packed.
	maxFileForm = maxFile + maxFile/4
	// maxListed bounds the list of a file's traces.
	maxListed = 200
)

// fileView is what pages of a file say about it.
type fileView struct {
	Name   string
	Packed string   // the file; "" where there is none
	Error  string   // why it cannot be shown
	Notes  []string // what of it is not shown
	Traces int
	Rows   []fileRow // of the list
	List   reach     // leads to the list, if there is more than one trace
	Next   reach     // leads to the rest of the list
}

// fileRow is a trace in the list of a file.
type fileRow struct {
	traceRow
	Open reach
}

// reach is a way to more of a trace: a link or, for a file, a button of its form.
type reach struct {
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

// file shows what is in the file that a form brings.
func (e *explorer) file(w http.ResponseWriter, r *http.Request) {
	v, body, show, status, err := readFileForm(w, r)
	var doc *otlpjson.Document
	if err == nil {
		doc, err = otlpjson.Read(body)
	}
	if err != nil {
		v.Error = err.Error()
		e.filePage(w, status, v)
		return
	}
	if v.Packed, err = pack(body); err != nil {
		http.Error(w, "packing the file: "+err.Error(), http.StatusInternalServerError)
		return
	}
	v.Notes, v.Traces = doc.Notes, len(doc.Traces)
	id := show.Get("trace")
	if len(doc.Traces) > 1 {
		if id == "" {
			e.fileList(w, v, doc, skipped(show))
			return
		}
		v.List = reach{Text: fmt.Sprintf("All %d traces of the file", len(doc.Traces)), Class: "button"}
		v.List.Show = url.Values{"skip": {"0"}}.Encode()
	}
	for _, found := range doc.Traces {
		if id == "" || found.ID == id {
			e.fileTrace(w, v, found, doc.Partial, show)
			return
		}
	}
	v.Error = fmt.Sprintf("there is no trace %.40q in it", id)
	e.filePage(w, http.StatusBadRequest, v)
}

// readFileForm reads a form with a file, or with one that an earlier page packed.
func readFileForm(w http.ResponseWriter, r *http.Request) (v fileView, body []byte, show url.Values, status int, err error) {
	tooLong := fmt.Errorf("it is longer than %d MiB: cut it, or store it with dicelab import", maxFile>>20)
	r.Body = http.MaxBytesReader(w, r.Body, maxFileForm)
	// All of it is kept in memory: nothing is to be stored, not for a moment.
	if err := r.ParseMultipartForm(maxFileForm); err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return v, nil, nil, http.StatusRequestEntityTooLarge, tooLong
		}
		return v, nil, nil, http.StatusBadRequest, fmt.Errorf("the form cannot be read: send it as the form of this page does: %w", err)
	}
	if show, err = url.ParseQuery(r.PostFormValue("show")); err != nil {
		return v, nil, nil, http.StatusBadRequest, fmt.Errorf("reading what to show: %w", err)
	}
	v.Name = r.PostFormValue("name")
	if packed := r.PostFormValue("packed"); packed != "" {
		body, err = unpack(packed)
		if err != nil {
			return v, nil, nil, http.StatusBadRequest, fmt.Errorf("the file that this page carried is damaged; choose it again: %w", err)
		}
	} else {
		file, header, err := r.FormFile("file")
		if err != nil || header.Filename == "" {
			return v, nil, nil, http.StatusBadRequest, errors.New("no file was chosen")
		}
		v.Name = header.Filename
		if body, err = io.ReadAll(file); err != nil {
			return v, nil, nil, http.StatusBadRequest, fmt.Errorf("reading the file: %w", err)
		}
	}
	if len(body) > maxFile {
		return v, nil, nil, http.StatusRequestEntityTooLarge, tooLong
	}
	return v, body, show, http.StatusBadRequest, nil
}

func pack(body []byte) (string, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(body)
	if err = errors.Join(err, z.Close()); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// unpack undoes pack, as far as one byte beyond what a file may have.
func unpack(packed string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(packed)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(z, maxFile+1))
	return body, errors.Join(err, z.Close())
}

// fileTrace shows one trace of a file as the page of a stored one does.
func (e *explorer) fileTrace(w http.ResponseWriter, v fileView, found otlpjson.Trace, partial bool, show url.Values) {
	t, err := modelOf(found)
	if err != nil {
		v.Error = err.Error()
		e.filePage(w, http.StatusBadRequest, v)
		return
	}
	t.Partial = partial
	view := e.traceView(t, show, &v)
	e.render(w, http.StatusOK, "trace", page{Title: view.Root + " " + t.ID[:8] + " from a file", Section: "Traces", Data: view})
}

// modelOf is a trace as the pages know it.
func modelOf(found otlpjson.Trace) (*query.Trace, error) {
	text, err := found.Marshal()
	if err != nil {
		return nil, err
	}
	return query.DecodeTrace(text, found.ID)
}

// fileList lists the traces of a file from the skipped on.
func (e *explorer) fileList(w http.ResponseWriter, v fileView, doc *otlpjson.Document, skip int) {
	rest := doc.Traces[min(skip, len(doc.Traces)):]
	for _, found := range rest[:min(maxListed, len(rest))] {
		t, err := modelOf(found)
		if err != nil {
			v.Error, v.Rows = err.Error(), nil
			e.filePage(w, http.StatusBadRequest, v)
			return
		}
		root := t.Tree().Roots[0]
		row := fileRow{traceRow: e.row(query.Found{TraceID: t.ID, RootService: root.Service, RootName: root.Name, Start: found.Oldest, Duration: t.Tree().Duration()})}
		row.Spans, row.Errors, row.Duration = len(t.Spans), t.Errors(), duration(t.Tree().Duration())
		for _, name := range t.Services() {
			row.Services = append(row.Services, serviceCount{Name: name, Class: serviceClass(name)})
		}
		row.Open = reach{Text: "Open", Class: "button small", Label: "Open trace " + row.Short, Show: url.Values{"trace": {t.ID}}.Encode()}
		v.Rows = append(v.Rows, row)
	}
	if more := len(rest) - maxListed; more > 0 {
		v.Next = reach{Text: fmt.Sprintf("%d more", more), Class: "button", Show: url.Values{"skip": {strconv.Itoa(skip + maxListed)}}.Encode()}
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
