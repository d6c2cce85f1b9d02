"""A flattened template says what Django's own rendering of it says, to the letter."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.template import Context, Engine, Template, defaulttags
from django.utils import translation
from django.utils.translation.trans_real import catalog
from hypothesis import example, given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from django_authmail.notifiers import registry
from django_authmail.notifiers.flattening import flattened
from django_authmail.notifiers.rendering import _strict
from tests.kinds import SHIPPED

LIBRARIES = {"i18n": "django.templatetags.i18n"}
VALUES = {"name": "O'Brien & <b>Söhne</b>", "empty": "", "rows": [("a", "<1>"), ("b", "2 %")]}
LOAD = "{% load i18n %}"


def engine(**sources: str) -> Engine:
    loader = ("django.template.loaders.locmem.Loader", sources)
    return Engine(loaders=[loader], libraries=LIBRARIES)


def outcome(render: Callable[[], object]) -> str:
    try:
        return str(render())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def both(sources: dict[str, str], *, autoescape: bool = True) -> tuple[str, str]:
    """Render `leaf` as Django does, and flattened."""

    def rendered(template: Template) -> str:
        return outcome(lambda: template.render(Context(dict(VALUES), autoescape=autoescape)))

    plain = engine(**sources).get_template("leaf")
    # Of an engine of its own: a tree that was rendered may have kept something.
    flat = flattened(engine(**sources).get_template("leaf"), catalog(), autoescape=autoescape)
    assert rendered(flat) == rendered(flat)
    return rendered(plain), rendered(flat)


@pytest.fixture(autouse=True, params=["en", "ko"])
def language(request: pytest.FixtureRequest) -> Iterator[None]:
    with translation.override(request.param):
        yield


SIMPLE = st.sampled_from(
    [
        "text",
        " <i>&amp;</i> %",
        "{{ name }}",
        "{{ name|upper }}",
        "{{ empty }}",
        "{{ missing }}",
        "{{ label }}",
        "{{ block.super }}",
        '{% translate "Your verification code" %}',
        '{% translate "Continue" context "email" %}',
        '{% translate "100%" %}',
        '{% translate "Confirm" context "email" as label %}',
        "{% translate name %}",
        "{% blocktranslate %}The code is valid for {{ name }}.{% endblocktranslate %}",
        '{% blocktranslate context "email" %}Hello {{ name }},{% endblocktranslate %}',
        '{% blocktranslate context "email" %}Hello {{ missing }},{% endblocktranslate %}',
        "{% blocktranslate with n=name %}100% of {{ n }}{% endblocktranslate %}",
        "{% blocktranslate trimmed %} 5 %\n of it {% endblocktranslate %}",
        "{% blocktranslate asvar label %}<{{ name }}>{% endblocktranslate %}",
        "{% blocktranslate count n=rows|length %}one{% plural %}{{ n }}{% endblocktranslate %}",
        '{% include "part" %}',
        '{% include "part" with label=name %}',
        '{% include "part" only %}',
        '{% include "none" %}',
        '{% if missing %}{% include "broken" %}{% endif %}',
        '{% include "broken" %}',
        "{% if missing %}{% translate 5 %}{% endif %}",
        "{# nothing #}{% comment %}{{ x }}{% endcomment %}",
        "{% now 'Y' as label %}",
        "{% autoescape off %}{{ name }}{% endautoescape %}",
    ]
)


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, max_size=3).map("".join)
    return st.one_of(
        several,
        st.builds("{{% if name %}}{}{{% elif x %}}?{{% endif %}}".format, several),
        st.builds("{{% if missing %}}{}{{% else %}}{}{{% endif %}}".format, several, several),
        st.builds(
            "{{% for label, v in rows %}}{}{{{{ forloop.counter }}}}{{% endfor %}}".format, several
        ),
        st.builds("{{% for v in empty %}}?{{% empty %}}{}{{% endfor %}}".format, several),
        st.builds("{{% with label=name %}}{}{{% endwith %}}".format, several),
        # A name once in each template is what Django demands: it is made below.
        st.builds("{{% block @ %}}{}{{% endblock %}}".format, several),
    )


TREES = st.lists(st.recursive(SIMPLE, nested, max_leaves=12), max_size=5).map("".join)


def named(source: str, names: list[str]) -> str:
    """Give the blocks their names, each once in a template; of too many blocks, nothing is left."""
    for name in names:
        source = source.replace("{% block @ %}", f"{{% block {name} %}}", 1)
    return "" if "{% block @ %}" in source else source


@given(
    trees=st.lists(TREES, min_size=1, max_size=3),
    part=TREES,
    names=st.lists(st.permutations(["a", "b", "c", "d"]), min_size=3, max_size=3),
    autoescape=st.booleans(),
)
# A block that lies in another one of its parent, and around it in the child.
@example(
    trees=[
        "{% block @ %}1{% block @ %}2{% endblock %}{% endblock %}",
        "{% block @ %}3{% block @ %}4{% endblock %}{% endblock %}",
    ],
    part="",
    names=[["a", "b"], ["b", "a"], []],
    autoescape=True,
)
# What a block or a part names is forgotten at its end.
@example(
    trees=[
        '{% block @ %}{% translate "Your verification code" as label %}{% endblock %}{{ label }}'
        '{% include "part" %}{{ label }}{% if name %}{% translate "x" as label %}{% endif %}'
        "{{ label }}"
    ],
    part="{% blocktranslate asvar label %}{{ name }}{% endblocktranslate %}{{ label }}",
    names=[["a"], [], []],
    autoescape=True,
)
def test_says_what_django_says(
    trees: list[str], part: str, names: list[list[str]], autoescape: bool
) -> None:
    sources = {"part": LOAD + named(part, ["p"]), "broken": "{% load nothing %}"}
    levels = ("root", "middle", "leaf")[-len(trees) :]
    above = ""
    for level, tree, order in zip(levels, trees, names, strict=False):
        sources[level] = above + LOAD + named(tree, order)
        above = f'{{% extends "{level}" %}}'
    plain, flat = both(sources, autoescape=autoescape)
    assert flat == plain


def test_a_template_may_extend_the_one_that_it_replaces(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "shipped").mkdir()
    (tmp_path / "own" / "leaf").write_text('{% extends "leaf" %}{% block a %}own{% endblock %}')
    (tmp_path / "shipped" / "leaf").write_text("<{% block a %}shipped{% endblock %}>")
    loader = "django.template.loaders.filesystem.Loader"
    folders = [str(tmp_path / "own"), str(tmp_path / "shipped")]
    own = Engine(loaders=[(loader, folders)]).get_template("leaf")
    assert flattened(own, catalog(), autoescape=True).render(Context()) == "<own>"


@pytest.mark.parametrize(
    "source",
    [
        "{% block a %}{{ block.super }}{% endblock %}",
        "{% include name %}",
        '{% include "part" only %}',
        '{% include "leaf" %}',
        "{% now 'Y' %}",
        "{% autoescape off %}{{ name }}{% endautoescape %}",
    ],
)
def test_leaves_what_it_does_not_know_to_django(source: str) -> None:
    leaf = engine(leaf=source, part="").get_template("leaf")
    assert flattened(leaf, catalog(), autoescape=True) is leaf


def test_a_partial_is_left_to_django() -> None:
    # Django 5.2 has none, and does not find it.
    leaf = '<{% block a %}{% include "part#p" %}{% endblock %}>'
    part = "{% partialdef p %}hi{{ block.name }}{% endpartialdef %}"
    sources = {"leaf": leaf, "part": part if "partialdef" in defaulttags.register.tags else ""}
    plain, flat = both(sources)
    assert flat == plain


def test_parts_of_parts_of_parts_are_not_copied_without_end() -> None:
    twice = '{{% if x %}}{{% include "part{0}" %}}{{% endif %}}{{% include "part{0}" %}}'
    parts = {f"part{number}": twice.format(number + 1) for number in range(20)}
    leaf = engine(leaf='{% include "part0" %}', part20="", **parts).get_template("leaf")
    assert flattened(leaf, catalog(), autoescape=True) is leaf


def test_a_translation_with_a_mistake_is_passed_over(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "ko" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    catalogue = (
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8"\n\n'
        'msgid "To %(name)s"\nmsgstr "%(nom)s 님께"\n'
    )
    (folder / "django.po").write_text(catalogue)
    subprocess.run(
        ["msgfmt", "-o", folder / "django.mo", folder / "django.po"],
        check=True,
    )
    settings.LOCALE_PATHS = [str(tmp_path)]
    source = LOAD + "{% blocktranslate %}To {{ name }}{% endblocktranslate %}"
    with translation.override("ko"):
        plain, flat = both({"leaf": source})
    assert flat == plain == "To O&#x27;Brien &amp; &lt;b&gt;Söhne&lt;/b&gt;"


def test_another_catalogue_is_another_text(settings: Settings) -> None:
    leaf = engine(leaf=LOAD + '{% translate "Your verification code" %}').get_template("leaf")
    with translation.override("ko"):
        before = flattened(leaf, catalog(), autoescape=True)
        assert flattened(leaf, catalog(), autoescape=True) is before
        settings.LOCALE_PATHS = []
    with translation.override("ko"):
        assert flattened(leaf, catalog(), autoescape=True) is not before


@pytest.mark.parametrize("kind", SHIPPED)
def test_flattens_every_template_of_the_package(kind: str) -> None:
    folder = Path(registry.__file__).parents[1] / "templates" / "authmail" / kind
    for file in folder.iterdir():
        template = _strict(None).get_template(f"authmail/{kind}/{file.name}")
        assert flattened(template, catalog(), autoescape=True) is not template


@pytest.mark.parametrize("kind", SHIPPED)
def test_mails_of_the_package_are_what_django_renders(kind: str, settings: Settings) -> None:
    language = translation.get_language()
    notifier = registry.get(kind).for_samples()
    flat = [
        notifier.build("a@example.com", **values, locale=language)
        for values in notifier.samples(language).values()
    ]
    # With `debug`, templates are read anew for each mail, and not flattened.
    backend = "django.template.backends.django.DjangoTemplates"
    settings.TEMPLATES = [{"BACKEND": backend, "APP_DIRS": True, "OPTIONS": {"debug": True}}]
    plain = [
        notifier.build("a@example.com", **values, locale=language)
        for values in notifier.samples(language).values()
    ]
    assert flat
    for one, other in zip(flat, plain, strict=True):
        assert one.subject == other.subject
        assert one.text_body == other.text_body
        assert one.html_body == other.html_body
