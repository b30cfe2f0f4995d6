package explorer

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"

	"dicelab/internal/quest"
	"dicelab/internal/web"
)

// formKey is a key that the page's forms carry, so that no other page can send them, even
// from a browser that does not say where a request comes from.
type formKey string

func newFormKey() formKey { return formKey(rand.Text()) }

type questsView struct {
	quest.View
	Key         formKey
	Failure     string // why the last action was refused
	Path, All   questList
	First, Last moment // of the quest's rolls
}

// questList is a list of quests, each with a button.
type questList struct {
	Key  formKey
	Busy bool // another is under way
	List []quest.Listed
}

// quests shows the list, and the quest that is under way.
func (e *explorer) quests(w http.ResponseWriter, _ *http.Request) { e.showQuests(w, http.StatusOK, "") }

func (e *explorer) showQuests(w http.ResponseWriter, status int, failure string) {
	v := questsView{Key: e.formKey, Failure: failure}
	var err error
	if v.View, err = e.Quests.View(); err != nil {
		e.message(w, http.StatusInternalServerError, "The quests cannot be shown", err.Error())
		return
	}
	busy := v.Current != nil && v.Current.State != quest.StateEnded
	v.Path, v.All = questList{Key: e.formKey, Busy: busy}, questList{Key: e.formKey, Busy: busy}
	for n := 1; n <= len(v.Quests); n++ {
		for _, q := range v.Quests {
			if q.Path == n {
				v.Path.List = append(v.Path.List, q)
			}
		}
	}
	for _, q := range v.Quests {
		if q.Level != quest.LevelExercise {
			v.All.List = append(v.All.List, q)
		}
	}
	p := page{Title: "Quests", Section: "Quests"}
	if c := v.Current; c != nil {
		v.First, v.Last = e.moment(c.FirstRoll), e.moment(c.LastRoll)
		if c.State == quest.StateRunning || c.State == quest.StateChecking {
			p.Reload, p.ReloadURL = 2, "/quests"
		}
	}
	p.Data = v
	e.render(w, status, "quests", p)
}

// questAction performs an action, and shows the page again.
func (e *explorer) questAction(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxQuestForm)
	if err := r.ParseForm(); err != nil {
		p := web.BadForm(err).Titled()
		e.message(w, p.Status, p.Title, p.Detail)
		return
	}
	form := r.PostForm
	if subtle.ConstantTimeCompare([]byte(form.Get("key")), []byte(e.formKey)) != 1 {
		e.message(w, http.StatusForbidden, "This form is out of date", "The lab was started anew since. Open the page again and send it from there.")
		return
	}
	form.Del("key")
	err := e.Quests.Do(r.Context(), r.PathValue("action"), form)
	if err != nil {
		status := http.StatusBadGateway
		if _, refused := errors.AsType[*quest.UserError](err); refused {
			status = http.StatusConflict
		}
		e.showQuests(w, status, err.Error())
		return
	}
	http.Redirect(w, r, "/quests#quest", http.StatusSeeOther)
}

// maxQuestForm bounds the answers of a form, in bytes.
const maxQuestForm = 64 << 10
