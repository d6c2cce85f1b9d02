"""A template as one list of nodes: with what it extends and includes, its texts translated.

Django walks the tree of a template anew for each mail. What does not depend on a mail's values is
done here, once: blocks and included parts are put in their places, and texts are looked up in the
language's catalogue. What comes out is what Django says, to the letter: a template that has
anything in it which is not known here is left to Django as a whole.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from copy import copy
from functools import lru_cache
from itertools import chain
from typing import Any

from django.template import Context, Engine, Node, NodeList, Template, Variable
from django.template.base import TextNode, VariableNode, render_value_in_context
from django.template.defaulttags import CommentNode, ForNode, IfNode, LoadNode, WithNode
from django.template.loader_tags import BlockNode, ExtendsNode, IncludeNode
from django.templatetags.i18n import BlockTranslateNode, TranslateNode
from django.utils.translation import gettext, pgettext

# What a template says inside of tags but for the names of its blocks: there, `block` is a value.
_EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%(?!\s*(?:end)?block\b).*?%\}")
_BLOCK = re.compile(r"\bblock\b")
# Ours have 60. Parts that include parts are copied wherever they stand.
_MOST_NODES = 2_000


# All kinds of mail in both languages, and as many again by which a project replaces them.
@lru_cache(maxsize=256)
def flattened(template: Template, catalogue: object, *, autoescape: bool) -> Template:
    """Return what renders as `template` does in the active language, whose texts are `catalogue`'s.

    Where it cannot be flattened, that is `template` itself.
    """
    context = Context(autoescape=autoescape)
    try:
        with context.bind_template(template):
            nodes = _Flattening(context).of(template)
    except Exception:
        # Besides what is not known: what is wrong in a part of it. Whoever renders the template is
        # told of that, if the values of the mail lead there.
        return template
    flat = copy(template)
    flat.nodelist = nodes
    return flat


class _Unknown(Exception):
    """Raised for a template that is not written as this module knows it."""


class _Flattening:
    """The way of one template, which `context` is bound to, to a list."""

    def __init__(self, context: Context) -> None:
        self._context = context
        #: By name, what is defined for a block; the last one counts.
        self._blocks: dict[str, list[BlockNode]] = defaultdict(list)
        self._included: list[str] = []
        #: How many nodes leave a name in the context.
        self._names_left = 0
        self._nodes_seen = 0

    def of(self, template: Template) -> NodeList:
        """Return the nodes of a template that is rendered by itself."""
        while _nodes(template, ExtendsNode):
            self._define_blocks(template)
            first: Any
            first, *others = template.nodelist
            if type(first) is not ExtendsNode or others or not _is_constant(first.parent_name):
                raise _Unknown
            template = first.get_parent(self._context)
        self._define_blocks(template)
        return self._flat(template.nodelist)

    def _define_blocks(self, template: Template) -> None:
        _refuse_block_as_value(template)
        blocks = _nodes(template, BlockNode)
        for name, block in {block.name: block for block in blocks}.items():
            self._blocks[name].insert(0, block)

    def _flat(self, nodes: NodeList) -> NodeList:
        flat: list[Node] = []
        self._nodes_seen += len(nodes)
        if self._nodes_seen > _MOST_NODES:
            raise _Unknown
        for new in chain.from_iterable(map(self._flat_node, nodes)):
            if isinstance(new, TextNode) and flat and isinstance(flat[-1], TextNode):
                flat[-1] = TextNode(flat[-1].s + new.s)
            else:
                flat.append(new)
        return NodeList(flat)

    def _flat_node(self, node: Any) -> Iterable[Node]:  # each class has attributes of its own
        # Not isinstance: a class that inherits may do anything.
        kind = type(node)
        if kind in (LoadNode, CommentNode):
            return ()
        if kind in (TextNode, VariableNode):
            return (node,)
        if kind is TranslateNode:
            return (self._translated(node),)
        if kind is BlockTranslateNode:
            return (self._sentence(node),)
        if kind is BlockNode:
            return self._block(node)
        if kind is IncludeNode:
            return self._include(node)
        same = copy(node)
        if kind is IfNode:
            same.conditions_nodelists = [
                (condition, self._flat(inner)) for condition, inner in node.conditions_nodelists
            ]
        elif kind is ForNode:
            same.nodelist_loop = self._flat(node.nodelist_loop)
            same.nodelist_empty = self._flat(node.nodelist_empty)
        elif kind is WithNode:
            same.nodelist = self._flat(node.nodelist)
        else:
            raise _Unknown
        return (same,)

    def _block(self, node: BlockNode) -> Iterable[Node]:
        defined = self._blocks[node.name]
        # Inside of it, a block of the same name is the one that was defined before.
        block = defined.pop() if defined else None
        nodes = self._scope((block or node).nodelist)
        if block is not None:
            defined.append(block)
        return nodes

    def _include(self, node: Any) -> Iterable[Node]:
        name = node.template.resolve(self._context) if _is_constant(node.template) else None
        if not isinstance(name, str) or name.startswith(".") or node.isolated_context:
            raise _Unknown
        part = _engine(self._context).get_template(name)
        # A part has blocks of its own, and values that end it where it includes itself.
        if name in self._included or _nodes(part, BlockNode) or _nodes(part, ExtendsNode):
            raise _Unknown
        _refuse_block_as_value(part)
        self._included.append(name)
        nodes = self._scope(part.nodelist, node.extra_context)
        self._included.pop()
        return nodes

    def _scope(self, inner: NodeList, values: dict[str, Any] | None = None) -> Iterable[Node]:
        """Return nodes that leave no name behind, and see `values`."""
        before = self._names_left
        nodes = self._flat(inner)
        if not values and self._names_left == before:
            return nodes
        return (WithNode(None, None, nodes, extra_context=values),)

    def _translated(self, node: Any) -> Any:
        if node.asvar:
            self._names_left += 1
        elif _is_constant(node.filter_expression) and _is_constant(node.message_context):
            return TextNode(node.render(self._context))
        return node

    def _sentence(self, node: Any) -> Any:
        if node.asvar:
            self._names_left += 1
        elif not (node.extra_context or node.plural) and _is_constant(node.message_context):
            return _Sentence(node, self._context)
        return node


class _Sentence(Node):
    """A text with values in it, translated before they are known."""

    def __init__(self, node: Any, context: Context) -> None:
        self._node = node
        source, self._names = node.render_token_list(node.singular)
        if node.message_context:
            self._text = pgettext(node.message_context.resolve(context), source)
        else:
            self._text = gettext(source)

    def render(self, context: Context) -> str:
        try:
            return self._text % {
                name: render_value_in_context(context[name], context) for name in self._names
            }
        except (KeyError, ValueError):
            # A value is not given, or the translation has a mistake: Django knows what to do.
            return str(self._node.render(context))


def _nodes(template: Template, kind: type[Node]) -> list[Any]:
    return template.nodelist.get_nodes_by_type(kind)


def _is_constant(expression: Any) -> bool:  # a FilterExpression; the stubs say more
    """Whether a mail's values have no part in it."""
    if expression is None:
        return True
    value = expression.var
    is_text = isinstance(value, str) or (isinstance(value, Variable) and value.lookups is None)
    return is_text and not expression.filters


def _engine(context: Context) -> Engine:
    return context.template.engine  # type: ignore[union-attr] # it is bound to one


def _refuse_block_as_value(template: Template) -> None:
    # `{{ block.super }}`. In one list, there is no such value. A partial does not tell its source.
    if type(template) is not Template or any(
        map(_BLOCK.search, _EXPRESSION.findall(template.source))
    ):
        raise _Unknown
