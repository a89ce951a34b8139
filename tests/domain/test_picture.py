"""A picture is uploaded once and made smaller once."""

from emporium.domain.picture import (
    NO_SUCH_PICTURE,
    PictureRendered,
    PictureUploaded,
    RecordRenditions,
    Rendition,
    UploadPicture,
    picture_id_of,
)
from tests.domain.spec import given

URL = "/media/abc.jpg"
ID = picture_id_of(URL)
UPLOADED = PictureUploaded(picture_id=ID, url=URL, width=800, height=600)
SMALL = (Rendition(url="/media/def.webp", width=320, height=240),)


def test_the_same_picture_is_the_same() -> None:
    upload = UploadPicture(picture_id=ID, url=URL, width=800, height=600)
    given().when(upload).then(UPLOADED)
    given(UPLOADED).when(upload).then()


def test_its_smaller_forms_are_recorded_once() -> None:
    record = RecordRenditions(picture_id=ID, renditions=SMALL)
    rendered = PictureRendered(picture_id=ID, url=URL, renditions=SMALL)
    given(UPLOADED).when(record).then(rendered).leads_to(renditions=SMALL)
    given(UPLOADED, rendered).when(record).then()
    given().when(record).rejected(NO_SUCH_PICTURE)
